// What the native addons and dist/ are built from, as one digest: whether a carried build is that of these sources.
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const folders = ['native/core', 'native/cpu', 'native/cuda', 'native/addon', 'src']
const files = ['binding.gyp', 'tsconfig.json']

export function digestOfSources(root) {
  const hash = createHash('sha256')
  const paths = folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name)),
  )
  for (const path of [...paths.sort(), ...files.map((file) => join(root, file))]) {
    hash.update(path.slice(root.length)).update('\0').update(readFileSync(path)).update('\0')
  }
  return hash.digest('hex')
}
