import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, test, vi } from 'vitest'
import { DataError } from '../../src/errors.ts'
import { removeStaleTemporaries, writeFileAtomic } from '../../src/io/atomic.ts'
import { fileError } from '../../src/io/file-error.ts'
import { temporaryFolder } from './temporary-folder.ts'

// The file system with faults: each call may be made to fail with an errno, and writes may be short.
const fault = vi.hoisted(() => ({ call: '', code: '', afterBytes: 0, shortWrites: false }))

vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>()
  const failing = (name: 'fsyncSync' | 'renameSync' | 'openSync') => [
    name,
    (...args: never[]) => {
      if (fault.call === name) throw Object.assign(new Error(`${fault.code}: injected`), { code: fault.code })
      return (fs[name] as (...args: never[]) => unknown)(...args)
    },
  ]
  const writeSync = (fd: number, bytes: Uint8Array, offset: number, length: number) => {
    if (fault.call === 'writeSync' && offset >= fault.afterBytes) {
      throw Object.assign(new Error(`${fault.code}: injected`), { code: fault.code })
    }
    return fs.writeSync(fd, bytes, offset, fault.shortWrites ? Math.min(length, 3) : length)
  }
  return {
    ...fs,
    writeSync,
    ...Object.fromEntries(['fsyncSync', 'renameSync', 'openSync'].map((n) => failing(n as never))),
  }
})

beforeEach(() => {
  Object.assign(fault, { call: '', code: '', afterBytes: 0, shortWrites: false })
})

describe('a file is written whole', () => {
  test('text, bytes, and pieces', () => {
    const path = join(temporaryFolder(), 'a')
    writeFileAtomic(path, 'größer')
    expect(readFileSync(path, 'utf8')).toBe('größer')
    writeFileAtomic(path, Uint8Array.of(1, 2))
    expect([...readFileSync(path)]).toEqual([1, 2])
    writeFileAtomic(path, [Uint8Array.of(3), new Uint8Array(0), Uint8Array.of(4, 5)])
    expect([...readFileSync(path)]).toEqual([3, 4, 5])
  })

  test('when the system writes a few bytes at a time', () => {
    const path = join(temporaryFolder(), 'a')
    fault.shortWrites = true
    writeFileAtomic(path, 'a longer text')
    expect(readFileSync(path, 'utf8')).toBe('a longer text')
  })

  test('through a link, and with the mode it had', () => {
    const folder = temporaryFolder()
    writeFileSync(join(folder, 'real'), 'old')
    chmodSync(join(folder, 'real'), 0o640)
    symlinkSync('real', join(folder, 'link'))
    writeFileAtomic(join(folder, 'link'), 'new')
    expect(readFileSync(join(folder, 'real'), 'utf8')).toBe('new')
    expect(statSync(join(folder, 'real')).mode & 0o777).toBe(0o640)
    expect(lstatSync(join(folder, 'link')).isSymbolicLink()).toBe(true)
  })
})

describe('a failure loses neither the old file nor disk space', () => {
  test.each([
    ['writeSync', 'ENOSPC', 'no space left on the device (ENOSPC)', /free some space/],
    ['fsyncSync', 'EIO', 'input/output error (EIO)', /check the disk/],
    ['renameSync', 'EACCES', 'permission denied (EACCES)', /owner and the mode/],
    ['openSync', 'EROFS', 'read-only (EROFS)', /writable file system/],
  ])('%s fails with %s', (call, code, message, hint) => {
    const folder = temporaryFolder()
    const path = join(folder, 'a')
    writeFileSync(path, 'old')
    Object.assign(fault, { call, code, afterBytes: 3, shortWrites: true })
    let error: unknown
    try {
      writeFileAtomic(path, 'a longer text')
    } catch (caught) {
      error = caught
    }
    expect(error).toBeInstanceOf(DataError)
    expect(String(error)).toContain(`cannot write ${path}: `)
    expect(String(error)).toContain(message)
    expect((error as DataError).hint).toMatch(hint)
    expect(readdirSync(folder)).toEqual(['a'])
    expect(readFileSync(path, 'utf8')).toBe('old')
  })

  test('a folder that is missing, a folder in the way, a device', () => {
    const folder = temporaryFolder()
    expect(() => writeFileAtomic(join(folder, 'none', 'a'), '')).toThrow('no such file or folder (ENOENT)')
    mkdirSync(join(folder, 'b'))
    writeFileSync(join(folder, 'c'), '')
    expect(() => writeFileAtomic(join(folder, 'c', 'a'), '')).toThrow('a part of the path is a file')
    expect(() => writeFileAtomic(join(folder, 'b'), '')).toThrow('exists and is not a regular file')
    expect(() => writeFileAtomic('/dev/null', '')).toThrow('exists and is not a regular file')
    expect(readdirSync(folder)).toEqual(['b', 'c'])
  })

  test('what killed processes left is removed, what live ones write is not', () => {
    const folder = temporaryFolder()
    const dead = `.a.${2 ** 22 + 1}-1-0123abcd.tmp` // beyond Linux's largest process number
    const live = `.a.${process.pid}-0-0123abcd.tmp`
    for (const name of [dead, live, 'b.tmp', '.a.tmp']) writeFileSync(join(folder, name), '')
    expect(removeStaleTemporaries(folder)).toEqual([dead])
    expect(readdirSync(folder).sort()).toEqual([live, '.a.tmp', 'b.tmp'].sort())
  })
})

test('an error without an errno keeps its own text', () => {
  expect(fileError('read', 'a', new Error('odd')).message).toBe('cannot read a: odd')
})
