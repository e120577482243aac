import { existsSync } from 'node:fs'
import { dataFolder } from '../../data/cache.ts'
import { checkDatasetName, DATASET_NAMES, installFolder, placeOf } from '../../data/catalog.ts'
import { DERIVED_NAMES } from '../../data/derived.ts'
import { checkDataset, downloadFolder, installDataset } from '../../data/install.ts'
import { type DatasetName, SOURCES, type Source } from '../../data/sources.ts'
import type { GetOptions } from '../commands/data.ts'
import type { CliContext } from '../context.ts'
import { createProgress } from '../progress.ts'
import { formatTable } from '../table.ts'

const count = (n: number) => n.toLocaleString('en')
const megabytes = (bytes: number) => `${Math.ceil(bytes / 1e6)} MB`

export function listData({ stdout }: CliContext): void {
  const rows = DATASET_NAMES.map((name) => {
    const { images, about, downloads }: Source = SOURCES[name]
    const bytes = downloads.reduce((sum, file) => sum + (file.optional ? 0 : file.bytes), 0)
    const place = `train ${placeOf(name, 'train')}, test ${placeOf(name, 'test')}`
    return [name, about, count(images.train), count(images.test), megabytes(bytes), place]
  })
  stdout.write(
    `${formatTable(rows, ['name', 'what', 'train', 'test', 'download', 'here'])}\n` +
      `installed: in ${dataFolder()}; bundled: a subset in this package; nowhere: langevin data get <name>\n` +
      `made from the test data, for --ood: ${DERIVED_NAMES.join(', ')}\n`,
  )
}

export async function getData(name: string, { extra, mirror }: GetOptions, context: CliContext): Promise<void> {
  const known = checkDatasetName(name)
  const { stdout, stderr, signal } = context
  let progress: ReturnType<typeof createProgress> | undefined
  try {
    const fetched = await installDataset(known, {
      optional: extra,
      mirror,
      signal,
      onProgress: (done, total) => {
        progress ??= createProgress({ stream: stderr, total, label: `get ${name}`, unit: 'bytes' })
        progress.update({ step: done })
      },
    })
    progress?.finish()
    stdout.write(`${name}: ${fetched ? 'installed' : 'is already, whole and right,'} in ${installFolder(known)}\n`)
    if (fetched) stdout.write(`terms: ${SOURCES[known].terms}\n`)
  } catch (error) {
    progress?.finish()
    if (signal.aborted) {
      stderr.write(`stopped; what has come is in ${downloadFolder(known)}; the same command goes on from there\n`)
    }
    throw error
  }
}

export async function checkData(name: string | undefined, context: CliContext): Promise<void> {
  const names = name === undefined ? DATASET_NAMES.filter((known) => existsSync(installFolder(known))) : [name]
  if (names.length === 0) context.stdout.write(`no data set is installed in ${dataFolder()}\n`)
  for (const each of names) await checkOne(checkDatasetName(each), context)
}

async function checkOne(name: DatasetName, context: CliContext): Promise<void> {
  const { stdout, signal } = context
  const folder = installFolder(name)
  const states = await checkDataset(name, { signal })
  const bad = states.filter(({ state }) => state !== 'ok')
  if (bad.length === 0) {
    stdout.write(`${name}: ${states.length} files in ${folder} are as published\n`)
    return
  }
  context.exitCode = 1
  stdout.write(`${name}: ${bad.length} of ${states.length} files in ${folder} are not as published\n`)
  for (const { name: file, state, detail } of bad) stdout.write(`  ${file}: ${state}${detail ? `, ${detail}` : ''}\n`)
  stdout.write(`  langevin data get ${name} installs what is missing; move away first what is wrong\n`)
}
