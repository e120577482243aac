import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Dataset } from '../../src/data/dataset.ts'
import { readCheckpoint } from '../../src/jem/checkpoint.ts'
import { defaultConfig, type JemConfig } from '../../src/jem/config.ts'
import { type RunOptions, type RunResult, trainRun } from '../../src/jem/run.ts'
import { setThreads } from '../../src/tensor/memory.ts'

// Steps this small are over before a second thread has woken up.
setThreads(1)

/** `count` grey images of 8×8 pixels: class k is a bright bar on a dim, uneven ground. */
export function bars(count = 40, { classes = 4, size = 8, channels = 1 } = {}): Dataset {
  const labels = Uint8Array.from({ length: count }, (_, i) => i % classes)
  const pixels = size * size * channels
  const images = Uint8Array.from({ length: count * pixels }, (_, at) => {
    const [image, p] = [Math.floor(at / pixels), Math.floor((at % pixels) / channels)]
    return (Math.floor(p / size) >> 1 === labels[image] ? 200 : 20) + ((image * 31 + at * 17) % 40)
  })
  const classNames = Array.from({ length: classes }, (_, k) => `bar ${k}`)
  return {
    name: 'bars',
    split: 'train',
    images,
    labels,
    count,
    height: size,
    width: size,
    channels,
    classes,
    classNames,
  }
}

/** The released defaults on a small scale: wrn-10-1, 6 steps. */
export function tiny(settings: Partial<JemConfig> = {}): JemConfig {
  const small = {
    model: 'wrn-10-1',
    batch: 4,
    bufferSize: 16,
    sgldSteps: 2,
    steps: 6,
    validationSize: 8,
    cropPadding: 1,
  }
  return { ...defaultConfig, decayEpochs: [...defaultConfig.decayEpochs], ...small, device: 'cpu', ...settings }
}

export function train(folder: string, config: JemConfig, options: Partial<RunOptions> = {}): Promise<RunResult> {
  return trainRun({ config, data: bars(), source: 'bars', folder, device: 'cpu', ...options })
}

/** What must be equal, bit for bit, of two runs: every tensor of the last checkpoint, the trainer's state, the metrics. */
export function finalState(folder: string) {
  const { tensors, meta } = readCheckpoint(folder)
  const bytes = [...tensors].map(([name, { data }]) => [
    name,
    Buffer.from(data.buffer, data.byteOffset, data.byteLength),
  ])
  const { trainer, rollbacks, metricsBytes } = meta
  return {
    tensors: Object.fromEntries(bytes.map(([name, b]) => [name, (b as Buffer).toString('base64')])),
    ...{ trainer, rollbacks, metricsBytes },
    metrics: readFileSync(join(folder, 'metrics.jsonl'), 'utf8'),
  }
}
