import { expect, test } from 'vitest'
import { forEachVariant } from './drive.ts'
import { kinds } from './kinds.ts'

test.each(kinds.map((kind) => [kind.name, kind.run] as const))('native %s gives its definition', (_, run) => {
  forEachVariant('cpu', () => {
    const { got, expected } = run()
    expect(got).toBeAllclose(expected, { rtol: 1e-15 })
  })
})
