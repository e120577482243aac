import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'

/** The folder that holds the folders of installed data sets: $LANGEVIN_DATA; else `langevin` in the user's cache, which
 *  is $XDG_CACHE_HOME, ~/Library/Caches (macOS) or ~/.cache. It need not exist. */
export function dataFolder(): string {
  const { LANGEVIN_DATA: configured, XDG_CACHE_HOME: cache } = process.env
  if (configured) return configured
  // A relative path is to be ignored (XDG Base Directory Specification).
  if (cache && isAbsolute(cache)) return join(cache, 'langevin')
  return join(homedir(), process.platform === 'darwin' ? 'Library/Caches' : '.cache', 'langevin')
}
