import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ConfigError, DataError } from '../../src/errors.ts'
import { lockFolder } from '../../src/io/lock.ts'
import { processStart } from '../../src/io/process-alive.ts'
import { temporaryFolder } from './temporary-folder.ts'

// Other processes run the lock as plain JavaScript, compiled once.
let compiled: string
beforeAll(() => {
  compiled = mkdtempSync(join(tmpdir(), 'langevin-lock-'))
  writeFileSync(join(compiled, 'package.json'), '{"type":"module"}')
  const options = ['-p', 'tsconfig.json', '--outDir', compiled, '--declaration', 'false', '--sourceMap', 'false']
  writeFileSync(
    join(compiled, 'tsconfig.json'),
    JSON.stringify({
      extends: join(process.cwd(), 'tsconfig.json'),
      compilerOptions: { rootDir: join(process.cwd(), 'src'), typeRoots: [join(process.cwd(), 'node_modules/@types')] },
      files: [join(process.cwd(), 'src/io/lock.ts')],
      include: [],
    }),
  )
  options[1] = join(compiled, 'tsconfig.json')
  execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', ...options])
})
afterAll(() => rmSync(compiled, { recursive: true, force: true }))

/** Runs a module that may use `lockFolder`. */
function node(code: string): ChildProcess {
  const module = `import { lockFolder } from ${JSON.stringify(join(compiled, 'io/lock.js'))}\n${code}`
  return spawn(process.execPath, ['--input-type=module', '-e', module], { stdio: ['ignore', 'pipe', 'inherit'] })
}

const firstOutput = (child: ChildProcess) =>
  new Promise<string>((done) => child.stdout!.once('data', (b) => done(`${b}`)))
const ended = (child: ChildProcess) => new Promise<void>((done) => child.once('close', () => done()))

/** A lock as a process with this number and start would have left it. */
function leave(folder: string, pid: number, start: string, host = hostname()) {
  mkdirSync(join(folder, '.lock'))
  writeFileSync(join(folder, '.lock', `${pid}-${start}-00ff`), JSON.stringify({ host, since: '2026-01-02T03:04:05Z' }))
}

const DEAD = 2 ** 22 + 1 // beyond Linux's largest process number

describe('two runs never write to one folder', () => {
  test('a second lock of the same process is refused until the first is released', () => {
    const folder = join(temporaryFolder(), 'new', 'run')
    const lock = lockFolder(folder)
    expect(() => lockFolder(folder)).toThrow(ConfigError)
    expect(() => lockFolder(folder)).toThrow(`${folder} is in use by this process (${process.pid})`)
    lock.release()
    lock.release()
    expect(readdirSync(folder)).toEqual([])
    lockFolder(folder).release()
  })

  test('a lock of another process is refused, by number, until that process ends; then the folder is clean', async () => {
    const folder = temporaryFolder()
    const child = node(`lockFolder(${JSON.stringify(folder)}); console.log('locked'); setTimeout(() => {}, 300)`)
    await firstOutput(child)
    expect(() => lockFolder(folder)).toThrow(new RegExp(`is in use by process ${child.pid} since 20`))
    await ended(child)
    expect(readdirSync(folder)).toEqual([])
    lockFolder(folder).release()
  })

  test('of many processes that find a dead lock at the same moment, one gets it', { timeout: 60_000 }, async () => {
    const rounds = 30
    const base = temporaryFolder()
    const folders = Array.from({ length: rounds }, (_, i) => join(base, String(i)))
    for (const folder of folders) {
      mkdirSync(folder)
      leave(folder, DEAD, '1')
    }
    const begin = Date.now() + 1500
    const children = Array.from({ length: 4 }, () =>
      node(`
        const won = []
        for (const [i, folder] of ${JSON.stringify(folders)}.entries()) {
          while (Date.now() < ${begin} + 10 * i);
          try { lockFolder(folder); won.push(i) } catch (error) { if (error.code !== 'CONFIG') throw error }
        }
        console.log(JSON.stringify(won))
        setTimeout(() => {}, 3000)`),
    )
    const won = (await Promise.all(children.map(firstOutput))).flatMap((text) => JSON.parse(text) as number[])
    for (const child of children) child.kill()
    await Promise.all(children.map(ended))
    expect(won.sort((a, b) => a - b)).toEqual(folders.map((_, i) => i))
  })

  test('a lock from another host counts as live, and the way out is named', () => {
    const folder = temporaryFolder()
    leave(folder, 12, '34', 'elsewhere')
    let error: unknown
    try {
      lockFolder(folder)
    } catch (caught) {
      error = caught
    }
    expect(error).toBeInstanceOf(ConfigError)
    expect(String(error)).toContain('process 12 on host elsewhere since 2026-01-02T03:04:05Z')
    expect((error as ConfigError).hint).toContain(`delete ${join(folder, '.lock')}`)
  })
})

describe('a run that died does not block the next', () => {
  test('after kill -9', async () => {
    const folder = temporaryFolder()
    const child = node(`lockFolder(${JSON.stringify(folder)}); console.log('locked'); setTimeout(() => {}, 60_000)`)
    await firstOutput(child)
    child.kill('SIGKILL')
    await ended(child)
    expect(existsSync(join(folder, '.lock'))).toBe(true)
    lockFolder(folder).release()
    expect(readdirSync(folder)).toEqual([])
  })

  test('when its note was lost in a power failure', () => {
    const folder = temporaryFolder()
    leave(folder, DEAD, '1')
    writeFileSync(join(folder, '.lock', `${DEAD}-1-00ff`), '')
    lockFolder(folder).release()
  })

  test.skipIf(processStart(process.pid) === undefined)('when its number now belongs to another process', () => {
    const folder = temporaryFolder()
    leave(folder, process.ppid, '1')
    lockFolder(folder).release()
    leave(folder, process.ppid, processStart(process.ppid)!)
    expect(() => lockFolder(folder)).toThrow(`in use by process ${process.ppid}`)
  })

  test('and what it had half-written is removed', () => {
    const folder = temporaryFolder()
    for (const name of ['last.safetensors', `.last.safetensors.${DEAD}-1-0123abcd.tmp`])
      writeFileSync(join(folder, name), '')
    const lock = lockFolder(folder)
    expect(readdirSync(folder).sort()).toEqual(['.lock', 'last.safetensors'])
    lock.release()
  })

  test('when it was killed between making and filling the lock', () => {
    const folder = temporaryFolder()
    mkdirSync(join(folder, '.lock'))
    lockFolder(folder).release()
  })
})

test('something else in the place of the lock is reported, not removed', () => {
  const folder = temporaryFolder()
  mkdirSync(join(folder, '.lock'))
  writeFileSync(join(folder, '.lock', 'notes.txt'), 'mine')
  expect(() => lockFolder(folder)).toThrow(/holds something else than a lock/)
  expect(readdirSync(folder)).toEqual(['.lock'])
  expect(() => lockFolder(join(folder, '.lock', 'notes.txt'))).toThrow(DataError)
})
