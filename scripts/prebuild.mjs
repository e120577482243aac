// Puts the built addon where an installed package looks for it: prebuilds/<platform>-<arch>/. Runs before npm pack.
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const folder = join(root, 'prebuilds', `${process.platform}-${process.arch}`)
mkdirSync(folder, { recursive: true })
copyFileSync(join(root, 'build/Release/cpu.node'), join(folder, 'cpu.node'))
if (process.platform === 'linux') spawnSync('strip', ['--strip-unneeded', join(folder, 'cpu.node')])
