// Our kernels one by one, timed (protocol: src/cli/peer.ts). bench/run.mjs holds the figures against the limits.
import { setThreads } from '../../dist/index.js'
import { median } from '../figures.mjs'
import { serve } from '../serve.mjs'
import { distinctConvolutions, label, passesOf, passOf } from '../wide-resnet.mjs'
import { prepareConvolution } from './convolution.mjs'
import { Kernels } from './device.mjs'
import { elementwiseCases } from './elementwise.mjs'

const { threads } = JSON.parse(process.argv[2])
setThreads(threads)
const kernels = new Kernels('cpu')
let cases
let current

await serve(
  { name: 'kernels', isa: kernels.level(), threads },
  {
    /** Every pass of every distinct convolution of a net; `seconds` for each. */
    convolutions({ net, size, channels, batch, seconds }) {
      return distinctConvolutions(net, { size, channels }).flatMap((layer) =>
        passesOf(layer).map((pass) => {
          const { operations, bytes } = passOf(layer, pass, batch, 4)
          const { handles, call } = prepareConvolution(kernels, layer, { batch, pass })
          const taken = median(kernels.repeated(call, seconds))
          kernels.free(...handles)
          return { net, batch, layer: label(layer), ...layer, pass, operations, bytes, seconds: taken }
        }),
      )
    },
    /** The next of the kernels bound by memory, on f32 tensors of `elements`, which no cache should hold: what it is called
     *  and must move, or { done: true } after the last. */
    next({ elements }) {
      cases ??= elementwiseCases(kernels, elements, ['f32'])
      const { value, done } = cases.next()
      if (done) return { done }
      const [kernel, , bytes, call] = value
      current = call
      return { kernel, elements, bytes }
    },
    /** Times that kernel. */
    time({ seconds }) {
      return { seconds: median(kernels.repeated(current, seconds)) }
    },
  },
)
