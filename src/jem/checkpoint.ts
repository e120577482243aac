import { existsSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import type { Dataset } from '../data/dataset.ts'
import { CheckpointError, DataError } from '../errors.ts'
import { discard } from '../io/discard.ts'
import { readSafetensors, type SafetensorsTensor, writeSafetensors } from '../io/safetensors.ts'
import { loadStateDict, toPyTorch } from '../nn/stateDict.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { defaultConfig, type JemConfig } from './config.ts'
import type { TrainerState } from './trainer.ts'

/** Raised whenever a checkpoint of an older version could be misread. */
const version = 1

/** What the images of a run are: enough to build its model without them. */
export interface DataDescription {
  /** Name or path as it was given. */
  source: string
  name: string
  height: number
  width: number
  channels: number
  classes: number
  classNames: string[]
  /** Training images, before the validation part is taken off. */
  count: number
  /** CRC-32 of the images and labels, to tell whether a resumed run is given the same. */
  crc32: string
}

export interface CheckpointMeta {
  version: number
  config: JemConfig
  data: DataDescription
  trainer: TrainerState
  rollbacks: number
  /** Whether it was due, not made because the run was stopped. Roll-backs go to those that were due, so that a run that
   *  was stopped goes on as one that was not. */
  due: boolean
  /** Lengths of the run's logs at this point, to which a resumed run cuts them back. */
  metricsBytes: number
  eventsBytes: number
}

export interface Checkpoint {
  meta: CheckpointMeta
  /** In PyTorch's layouts; names as `JemTrainer.tensors()` gives them. */
  tensors: Map<string, SafetensorsTensor>
  /** What was wrong with a newer checkpoint, where this is the previous one. */
  warnings: string[]
}

const currentName = 'checkpoint.safetensors'
const previousName = 'checkpoint.previous.safetensors'

export function hasCheckpoint(folder: string): boolean {
  return existsSync(join(folder, currentName)) || existsSync(join(folder, previousName))
}

/** What a checkpoint says of the data it was trained on. */
export function describeData(source: string, data: Dataset): DataDescription {
  const { name, height, width, channels, classes, classNames, count, images, labels } = data
  const sum = crc32(new Uint8Array(labels.buffer, labels.byteOffset, labels.byteLength), crc32(images)).toString(16)
  return { source, name, height, width, channels, classes, classNames, count, crc32: sum }
}

export function hasPreviousCheckpoint(folder: string): boolean {
  return existsSync(join(folder, previousName))
}

/** Writes the run's checkpoint; the one before stays as the previous, unless `dropCurrent`, where it is known to be bad
 *  and the previous one stays instead. At no moment is there none. Throws DataError (a full disk): the checkpoints that
 *  were there then still are. */
export async function writeCheckpoint(
  folder: string,
  tensors: ReadonlyMap<string, Tensor>,
  meta: Omit<CheckpointMeta, 'version'>,
  { dropCurrent = false }: { dropCurrent?: boolean } = {},
): Promise<void> {
  const host = new Map<string, SafetensorsTensor>()
  for (const [name, x] of tensors) host.set(name, name === 'buffer' ? await asIs(x) : await toPyTorch(name, x))
  const metadata = { langevin: JSON.stringify({ ...meta, version }), crc32: checksum(host) }
  const current = join(folder, currentName)
  const next = join(folder, 'checkpoint.next.safetensors')
  try {
    writeSafetensors(next, host, metadata)
  } catch (error) {
    discard(next)
    throw error
  }
  if (existsSync(current) && !dropCurrent) renameSync(current, join(folder, previousName))
  renameSync(next, current)
}

/** Reads the newest checkpoint of a run that is whole, or the one before where there is one and `previous` asks for it.
 *  Throws CheckpointError where there is none. */
export function readCheckpoint(folder: string, { previous = false } = {}): Checkpoint {
  const problems: string[] = []
  const names = [currentName, previousName]
  for (const name of previous ? names.reverse() : names) {
    const path = join(folder, name)
    if (!existsSync(path)) continue
    try {
      return { ...parse(path), warnings: problems.map((problem) => `${problem}; ${name} is used instead`) }
    } catch (error) {
      if (!(error instanceof DataError || error instanceof CheckpointError)) throw error
      problems.push(error.message)
    }
  }
  throw new CheckpointError(
    problems.length > 0
      ? `no checkpoint in ${folder} can be read: ${problems.join('; ')}`
      : `no checkpoint in ${folder}`,
    { hint: 'name the folder of a run that langevin train or langevin demo has made' },
  )
}

function parse(path: string): Omit<Checkpoint, 'warnings'> {
  const { tensors, metadata } = readSafetensors(path)
  const meta = parseMeta(metadata.langevin)
  if (meta === undefined) throw new CheckpointError(`${path} is not a checkpoint of a run`)
  if (meta.version !== version) {
    const by = meta.version > version ? ', written by a newer langevin' : ''
    throw new CheckpointError(`${path} has checkpoint version ${meta.version}${by}; this program reads ${version}`)
  }
  if (checksum(tensors) !== metadata.crc32) throw new CheckpointError(`${path} is damaged: its checksum does not match`)
  return { meta, tensors }
}

function parseMeta(text: string | undefined): CheckpointMeta | undefined {
  try {
    if (text === undefined) return undefined
    const meta = JSON.parse(text) as CheckpointMeta
    // Settings that came later are off in older checkpoints.
    return { ...meta, config: { ...defaultConfig, ...meta.config } }
  } catch {
    return undefined
  }
}

/** Copies a checkpoint's tensors into those of a trainer. Throws CheckpointError where they do not fit. */
export function loadTensors(targets: ReadonlyMap<string, Tensor>, values: Checkpoint['tensors']): void {
  const rest = new Map(targets)
  const samples = rest.get('buffer')
  const saved = values.get('buffer')
  rest.delete('buffer')
  if (samples && saved) {
    if (saved.data.length !== samples.size) {
      throw new CheckpointError(
        `the replay buffer has ${saved.data.length} values in the file, ${samples.size} in the run`,
      )
    }
    samples.storage.device.write(samples.handle, saved.data)
    samples.changed()
  }
  loadStateDict(rest, new Map([...values].filter(([name]) => name !== 'buffer')))
}

/** The part of a checkpoint under `prefix/`, without the prefix. */
export function partOf(values: Checkpoint['tensors'], prefix: string): Map<string, SafetensorsTensor> {
  const part = new Map<string, SafetensorsTensor>()
  for (const [name, value] of values) if (name.startsWith(`${prefix}/`)) part.set(name.slice(prefix.length + 1), value)
  return part
}

async function asIs(x: Tensor): Promise<SafetensorsTensor> {
  return { dtype: 'F32', shape: [...x.shape], data: (await x.data()) as Float32Array }
}

function checksum(tensors: ReadonlyMap<string, SafetensorsTensor>): string {
  let sum = 0
  for (const name of [...tensors.keys()].sort()) {
    const { data } = tensors.get(name)!
    if (data.length === 0) continue // crc32 of an array without memory is 0, whatever came before
    sum = crc32(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), sum)
  }
  return sum.toString(16)
}
