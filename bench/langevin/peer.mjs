// Ours, as a competitor (protocol: src/cli/peer.ts). settings.what is sgld, iteration or inference.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import {
  Generator,
  inputGradient,
  JemModel,
  keep,
  noGrad,
  normal,
  scope,
  setThreads,
  sgld,
  synchronize,
  toPyTorch,
  uniform,
  writeSafetensors,
} from '../../dist/index.js'
import { nativeDevice } from '../../dist/native/device.js'
import { repeated, serve } from '../serve.mjs'
import { openTrainer } from '../trainer.mjs'

/** { call(steps), parameterBytes, close() } of a row: what is measured, made and ready. */
const kinds = {
  /** One call of sgld() is `steps` steps, as a sampler makes them. */
  sgld({ net, batch, size, channels, classes, stepSize, noiseStd }) {
    const model = newModel(net, channels, classes)
    const x = noise([batch, size, size, channels])
    const generator = new Generator(3, 'sgld')
    return {
      call(steps) {
        sgld(model, x, generator, { steps, stepSize, noiseStd })
        synchronize()
      },
      parameterBytes: 4 * model.parameterCount(),
      close: () => closeAll(x, model),
    }
  },
  /** `steps` calls are so many iterations of row.steps SGLD steps each. */
  iteration(row) {
    const trainer = openTrainer(row)
    return {
      async call(steps) {
        for (let i = 0; i < steps; i++) await trainer.iterate()
        synchronize()
      },
      parameterBytes: 4 * trainer.model.parameterCount(),
      close: () => trainer.dispose(),
    }
  },
  /** Logits and log p(x), both read. */
  inference({ net, batch, size, channels, classes }) {
    const model = newModel(net, channels, classes).eval()
    const x = noise([batch, size, size, channels])
    const once = () => {
      const { logits, f } = model.forward(x)
      logits.dataSync()
      f.dataSync()
    }
    return {
      call(steps) {
        for (let i = 0; i < steps; i++) scope(() => noGrad(once))
      },
      parameterBytes: 4 * model.parameterCount(),
      close: () => closeAll(x, model),
    }
  },
}

const newModel = (net, channels, classes, dtype = 'f32') =>
  new JemModel({ model: net, classes, channels, dtype, generator: new Generator(1, 'init') })
const noise = (shape) => keep(uniform(shape, new Generator(2), { low: -1, high: 1 }))
const closeAll = (...disposables) => disposables.map((disposable) => disposable.dispose())

/** Bytes of this process: VmRSS now, VmHWM at most so far; undefined where there is no /proc. */
function resident(key) {
  if (!existsSync('/proc/self/status')) return undefined
  return 1024 * Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(readFileSync('/proc/self/status', 'utf8'))[1])
}

const settings = JSON.parse(process.argv[2])
setThreads(settings.threads)
const { addon } = nativeDevice('cpu')
// Before there is a network: what Node, the addon and its threads take.
const idleBytes = resident('VmRSS')
let current = settings.net && kinds[settings.what](settings)

await serve(
  { name: 'langevin', isa: addon.variant(), threads: addon.threads() },
  {
    open(row) {
      current?.close()
      current = kinds[row.what](row)
    },
    run: (request) => repeated(current.call, request),
    /** Resident bytes at most during two calls, with the idle process's and the parameters' to take off. */
    async memory() {
      await current.call(2)
      writeFileSync('/proc/self/clear_refs', '5') // VmHWM starts anew: what making the network took does not count
      await current.call(2)
      return { idleBytes, parameterBytes: current.parameterBytes, peakBytes: resident('VmHWM') }
    },
    /** Weights, an image batch and what we make of it, in PyTorch's layouts: for the check that both compute the same. In
     *  float64: in float32 rounding alone turns a few LeakyReLU signs of a deep net, and the gradients with them. */
    async dump({ path }) {
      const { net, size, channels, classes } = settings
      const tensors = new Map()
      const exact = newModel(net, channels, classes, 'f64')
      for (const [name, parameter] of exact.stateDict()) tensors.set(name, await toPyTorch(name, parameter))
      const sample = keep(normal([4, size, size, channels], new Generator(4), { dtype: 'f64' }))
      const gradient = scope(() => keep(exact.frozen(() => inputGradient(exact, sample))))
      const host = async (t) => ({ dtype: 'F64', shape: [...t.shape], data: await t.data() })
      tensors.set('check.x', await host(sample)) // NHWC
      tensors.set('check.gradient', await host(gradient))
      writeSafetensors(path, tensors)
      closeAll(sample, gradient, exact)
    },
  },
)
