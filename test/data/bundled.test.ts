import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const DATA = join(import.meta.dirname, '../../data')

test('the bundled images are those that data/README.md describes, byte for byte', () => {
  const stated = [...readFileSync(join(DATA, 'README.md'), 'utf8').matchAll(/^([0-9a-f]{64}) {2}(\S+)$/gm)]
  const files = readdirSync(DATA).filter((name) => name !== 'README.md')
  expect(stated.map(([, , name]) => name).sort()).toEqual(files.sort())
  for (const [, sha256, name] of stated) {
    expect(
      createHash('sha256')
        .update(readFileSync(join(DATA, name)))
        .digest('hex'),
      name,
    ).toBe(sha256)
  }
})

test('they stay small enough for an npm package', () => {
  const bytes = readdirSync(DATA).reduce((sum, name) => sum + statSync(join(DATA, name)).size, 0)
  expect(bytes).toBeLessThan(6e6)
})
