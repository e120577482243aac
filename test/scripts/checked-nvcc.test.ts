import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'

const launcher = fileURLToPath(new URL('../../scripts/checked-nvcc.mjs', import.meta.url))
const note =
  "ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized in function 'f'"
let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'langevin-nvcc-'))
})
afterEach(() => {
  rmSync(folder, { recursive: true })
})

/** Runs the launcher with a compiler that writes its output file, says `message` and ends with `status`. */
function compile(message: string, status: number) {
  const compiler = join(folder, 'nvcc')
  writeFileSync(compiler, `#!/bin/sh\necho "${message}" >&2\ntouch "$4"\nexit ${status}\n`, { mode: 0o755 })
  const object = join(folder, 'kernel.o')
  const done = spawnSync(process.execPath, [launcher, compiler, '-c', 'kernel.cu', '-o', object], { encoding: 'utf8' })
  return { status: done.status, stderr: done.stderr, built: existsSync(object) }
}

test('a build that serialises matrix products fails and leaves no object file to be taken for built', () => {
  const { status, stderr, built } = compile(note, 0)
  expect(status).toBe(1)
  expect(stderr).toContain(note)
  expect(stderr).toContain('C7510 fails the build')
  expect(built).toBe(false)
})

test('other messages pass through, and the compiler decides', () => {
  const passed = compile('ptxas info    : 0 bytes gmem', 0)
  expect(passed).toEqual({ status: 0, stderr: 'ptxas info    : 0 bytes gmem\n', built: true })
  expect(compile('error: no such kernel', 2).status).toBe(2)
})
