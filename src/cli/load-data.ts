import { type LoadOptions, loadDataset } from '../data/catalog.ts'
import type { Dataset } from '../data/dataset.ts'
import { loadOod, type OodOptions } from '../data/ood.ts'
import type { CliContext } from './context.ts'
import { decodePng } from './decode-png.ts'
import { slowProgress } from './slow-progress.ts'

/** `loadDataset` for commands: reads PNG files, too, and tells how far it is where that takes long. */
export function loadData(nameOrPath: string, options: LoadOptions, context: CliContext): Dataset {
  return withReader(nameOrPath, context, (reader) => loadDataset(nameOrPath, { ...options, ...reader }))
}

/** `loadOod` for commands, likewise. */
export function loadOodData(nameOrPath: string, inside: Dataset, options: OodOptions, context: CliContext): Dataset {
  return withReader(nameOrPath, context, (reader) => loadOod(nameOrPath, inside, { ...options, ...reader }))
}

function withReader<T>(
  label: string,
  { stderr }: CliContext,
  load: (reader: Pick<LoadOptions, 'decodePng' | 'onProgress'>) => T,
): T {
  let progress: ReturnType<typeof slowProgress> | undefined
  try {
    return load({
      decodePng,
      onProgress: (done, total) => {
        progress ??= slowProgress({ stream: stderr, total, label: `read ${label}` })
        progress.update(done)
      },
    })
  } finally {
    progress?.finish()
  }
}
