import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const folder = join(import.meta.dirname, '../../docs/examples')

test.each(readdirSync(folder))('the example docs/examples/%s runs as a reader would run it', (name) => {
  const output = execFileSync(process.execPath, [join(folder, name)], { encoding: 'utf8' })
  expect(output).not.toMatch(/NaN|undefined|Warning/)
  expect(output.trim().split('\n').length).toBeGreaterThanOrEqual(3)
})
