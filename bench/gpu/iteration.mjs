// One whole JEM iteration: 20 SGLD steps on 64 chains of the replay buffer, then the train step on 192 images (p(x) of data
// and of samples, p(y|x)), Adam. And what it costs as batch, width and number of steps grow. bf16, f32 master weights.
import { synchronize } from '../../dist/index.js'
import { attempt, log, Results } from '../document.mjs'
import { median } from '../figures.mjs'
import { openTrainer } from '../trainer.mjs'
import { benchOptions, startPyTorch } from './device.mjs'

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

async function measure({ net, batch, steps }) {
  const trainer = openTrainer({ net, batch, steps, ...image, device, precision, tiny })
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
      await pytorch.ask('open', { ...usual, ...image, precision })
      await pytorch.ask('run', { seconds: 0, steps: 2 })
      const seconds = []
      for (let i = 0; i < repeats; i++) seconds.push((await pytorch.ask('run', { seconds: 0, steps: 1 })).seconds)
      return { seconds: median(seconds) }
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
