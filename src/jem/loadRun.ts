import { existsSync, statSync } from 'node:fs'
import { CheckpointError } from '../errors.ts'
import type { Device } from '../native/contract.ts'
import { loadStateDict } from '../nn/stateDict.ts'
import { Generator } from '../random/generator.ts'
import { type DataDescription, partOf, readCheckpoint } from './checkpoint.ts'
import type { JemConfig } from './config.ts'
import type { JemModel } from './model.ts'
import { makeModel } from './trainer.ts'

/** A trained run as its folder holds it: what sampling and judging need. */
export interface LoadedRun {
  config: JemConfig
  /** What it was trained on. */
  data: DataDescription
  /** Iterations that the checkpoint has behind it. */
  step: number
  /** In eval mode; dispose it. */
  model: JemModel
  /** Which weights `model` has: the moving average where the run kept one, else the trained ones. */
  weights: 'average' | 'trained'
  /** The replay buffer, [size, height, width, channels] in about [-1, 1]. Empty where the run kept none. */
  buffer: Float32Array
  /** Why an older checkpoint was taken than the newest, where that is damaged. */
  warnings: string[]
}

/** Loads the newest whole checkpoint of a run folder, which is only read. Throws CheckpointError, DeviceError,
 *  OutOfMemoryError. */
export function loadRun(folder: string, { device = 'cpu' }: { device?: Device } = {}): LoadedRun {
  if (!existsSync(folder) || !statSync(folder).isDirectory()) {
    throw new CheckpointError(`${folder}: no such run folder`, {
      hint: 'give the folder that langevin train --out or langevin demo --out has written',
    })
  }
  const { meta, tensors, warnings } = readCheckpoint(folder)
  const average = partOf(tensors, 'average')
  const weights = average.size > 0 ? 'average' : 'trained'
  const model = makeModel(meta.config, meta.data, device, new Generator(0, 'init')).eval()
  try {
    loadStateDict(model.stateDict(), weights === 'average' ? average : partOf(tensors, 'model'))
  } catch (error) {
    model.dispose()
    throw error
  }
  const buffer = (tensors.get('buffer')?.data as Float32Array | undefined) ?? new Float32Array(0)
  return { config: meta.config, data: meta.data, step: meta.trainer.step, model, weights, buffer, warnings }
}
