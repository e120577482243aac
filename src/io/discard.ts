import { rmSync } from 'node:fs'

/** Removes a file or folder that is of no more use, on the way out of a failure: one that cannot be removed, or whose
 *  folder is not there, must not hide the error that led here. */
export function discard(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true })
  } catch {
    // Left behind; `removeStaleTemporaries` finds it.
  }
}
