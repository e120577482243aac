// One whole JEM iteration: 20 SGLD steps on 64 chains of the replay buffer, then the train step on 192 images (p(x) of data
// and of samples, p(y|x)), Adam. And what it costs as batch, width and number of steps grow. bf16, f32 master weights.
import { defaultConfig, JemTrainer, synchronize } from '../../dist/index.js'
import { median } from '../competitors.mjs'
import { attempt, benchOptions, log, Results, startPyTorch } from './device.mjs'

const options = benchOptions()
const { device, tiny } = options
const usual = tiny ? { net: 'wrn-10-1', batch: 2, steps: 2 } : { net: 'wrn-28-10', batch: 64, steps: 20 }
const repeats = tiny ? 1 : 5
const precision = 'bf16'
const image = { size: tiny ? 8 : 32, channels: 3 }
/** What grows, and the settings beside the usual ones; PyTorch runs the usual ones only. */
const sweeps = tiny
  ? [{ grows: 'batch', batch: 3 }]
  : [
      ...[16, 32, 128, 256].map((batch) => ({ grows: 'batch', batch })),
      ...[1, 2, 4].map((width) => ({ grows: 'width', net: `wrn-28-${width}` })),
      ...[1, 5, 10, 40].map((steps) => ({ grows: 'steps', steps })),
    ]

/** Random images: the cost does not depend on what they show. */
function dataset() {
  const { size, channels } = image
  const count = tiny ? 40 : 2048
  const images = Uint8Array.from({ length: count * size * size * channels }, () => Math.random() * 256)
  const labels = Uint8Array.from({ length: count }, (_, i) => i % 10)
  const classNames = Array.from({ length: 10 }, (_, i) => String(i))
  const shape = { count, height: size, width: size, channels, classes: 10 }
  return { name: 'random', split: 'train', images, labels, classNames, ...shape }
}
const data = dataset()

async function measure({ net, batch, steps }) {
  const config = {
    ...defaultConfig,
    ...{ model: net, batch, sgldSteps: steps, device, precision, samplerPrecision: precision },
    ...{ bufferSize: tiny ? 20 : 10_000, validationSize: tiny ? 10 : 100, cropPadding: tiny ? 1 : 4 },
  }
  const trainer = new JemTrainer(config, data, device)
  try {
    await trainer.iterate()
    await trainer.iterate()
    const seconds = []
    for (let i = 0; i < repeats; i++) {
      synchronize(device)
      const start = process.hrtime.bigint()
      await trainer.iterate()
      seconds.push(Number(process.hrtime.bigint() - start) / 1e9)
    }
    return { seconds: median(seconds), fastest: Math.min(...seconds), slowest: Math.max(...seconds) }
  } finally {
    trainer.dispose()
  }
}

const results = new Results(options.out, { what: 'iteration', precision, usual, image })
const tell = (row) =>
  log(
    `${row.net}, batch ${row.batch}, ${row.steps} steps: ${(1e3 * row.langevin.seconds).toFixed(1)} ms` +
      (row.pytorch?.seconds ? `, PyTorch ${(1e3 * row.pytorch.seconds).toFixed(1)} ms` : ''),
  )

const pytorch = await startPyTorch('iteration', options)
try {
  const row = { grows: 'nothing', ...usual, langevin: await attempt(() => measure(usual)) }
  if (pytorch) {
    row.pytorch = await attempt(async () => {
      const asked = { ...usual, ...image, precision, seconds: tiny ? 0.01 : 2 }
      const { seconds, sgldSeconds } = await pytorch.ask('iteration', asked)
      return { seconds: median(seconds), sgldSeconds: median(sgldSeconds) }
    })
    row.ratio = row.pytorch.seconds / row.langevin.seconds || undefined
  }
  results.add(row)
  tell(row)
} finally {
  pytorch?.kill()
}
for (const sweep of sweeps) {
  const settings = { ...usual, ...sweep }
  const row = { ...settings, langevin: await attempt(() => measure(settings)) }
  results.add(row)
  if (!row.langevin.error) tell(row)
}
