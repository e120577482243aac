import { randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { ConfigError } from '../errors.ts'
import { isTemporaryName, removeStaleTemporaries, temporaryBeside } from './atomic.ts'
import { discard } from './discard.ts'
import { errnoOf, fileError } from './file-error.ts'
import { isTagAlive, PROCESS_TAG } from './process-alive.ts'

export type FolderLock = {
  /** Frees the folder. May be called twice; called at process exit if it was not before. */
  release(): void
}

/* The lock is a folder `.lock` that holds one file, whose name is unique to its owner: `<pid>-<start>-<random>`.
 *
 *  take    rename a prepared folder onto `.lock`: atomic, and refused by the kernel while `.lock` is not empty.
 *  remove  unlink the owner's file by its name. Whoever judged an owner dead can only ever remove that owner, never a
 *          lock that somebody else took in the meantime. So no guard is needed, and a kill at any point does no harm.
 */

type Owner = { file: string; pid: number; start: string; host?: string; since?: string }

/** Takes `folder` (made if missing) for this process. A lock left by a process that died, or whose number now belongs to
 *  another process, is taken over; one taken on another host counts as live. Files that killed writers left half-written
 *  in the folder are removed (see `removeStaleTemporaries`).
 *
 *  Throws ConfigError when a live process, this one included, holds it; DataError when the folder cannot be written. */
export function lockFolder(folder: string): FolderLock {
  const lock = join(folder, '.lock')
  const name = `${PROCESS_TAG}-${randomBytes(6).toString('hex')}`
  const prepared = temporaryBeside(lock)
  try {
    mkdirSync(prepared, { recursive: true })
    writeFileSync(join(prepared, name), JSON.stringify({ host: hostname(), since: new Date().toISOString() }))
    take(folder, lock, prepared)
  } catch (error) {
    discard(prepared)
    throw error instanceof ConfigError ? error : fileError('lock', folder, error)
  }
  const release = () => {
    if (!held.delete(release)) return
    if (held.size === 0) process.removeListener('exit', releaseAll)
    removeOwner(lock, name)
  }
  if (held.size === 0) process.on('exit', releaseAll)
  held.add(release)
  removeStaleTemporaries(folder)
  return { release }
}

/** Throws ConfigError when a live process holds `folder`; changes nothing. */
export function refuseFolderInUse(folder: string): void {
  const lock = join(folder, '.lock')
  const owner = readOwner(lock)
  if (owner && isLive(owner)) throw inUse(folder, lock, owner)
}

/** Whether a folder holds nothing but what this module and killed writers leave behind. */
export function isFolderUnused(folder: string): boolean {
  return readdirSync(folder).every((name) => name === '.lock' || isTemporaryName(name))
}

/** The locks that this thread holds. */
const held = new Set<() => void>()

function releaseAll(): void {
  for (const release of held) release()
}

function take(folder: string, lock: string, prepared: string): void {
  for (let attempt = 0; attempt < 100; attempt++) {
    if (renameUnlessTaken(prepared, lock)) return
    const owner = readOwner(lock)
    if (owner && isLive(owner)) throw inUse(folder, lock, owner)
    removeOwner(lock, owner?.file)
  }
  throw new ConfigError(`${folder} cannot be locked: ${lock} holds something else than a lock`, {
    hint: `delete ${lock} if no other process uses the folder`,
  })
}

function renameUnlessTaken(from: string, to: string): boolean {
  try {
    renameSync(from, to)
    return true
  } catch (error) {
    if (['ENOTEMPTY', 'EEXIST', 'EPERM'].includes(errnoOf(error) ?? '')) return false // EPERM: Windows
    throw error
  }
}

/** The owner of the lock; undefined when it was released a moment ago. */
function readOwner(lock: string): Owner | undefined {
  try {
    for (const file of readdirSync(lock)) {
      const parts = /^(\d+)-(\d+)-[0-9a-f]+$/.exec(file)
      if (parts) return { file, pid: Number(parts[1]), start: parts[2], ...readNote(join(lock, file)) }
    }
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
  }
  return undefined
}

function readNote(path: string): { host?: string; since?: string } {
  const text = readFileSync(path, 'utf8')
  try {
    const { host, since } = JSON.parse(text)
    return { host, since }
  } catch {
    return {} // emptied by a power failure: judge by the process number alone
  }
}

function isLive(owner: Owner): boolean {
  if (owner.host !== undefined && owner.host !== hostname()) return true
  return isTagAlive(owner.pid, owner.start)
}

function removeOwner(lock: string, file: string | undefined): void {
  if (file !== undefined) rmSync(join(lock, file), { force: true })
  try {
    rmdirSync(lock)
  } catch {
    // Gone already, or taken by somebody else since.
  }
}

function inUse(folder: string, lock: string, owner: Owner): ConfigError {
  const here = owner.host === undefined || owner.host === hostname()
  const who = !here
    ? `process ${owner.pid} on host ${owner.host}`
    : owner.pid === process.pid
      ? `this process (${owner.pid})`
      : `process ${owner.pid}`
  return new ConfigError(`${folder} is in use by ${who}${owner.since ? ` since ${owner.since}` : ''}`, {
    hint: here
      ? 'wait until it ends or stop it, or choose another folder'
      : `choose another folder; if that process is gone, delete ${lock}`,
  })
}
