// What each convolution, one SGLD step and one JEM iteration should take on an H100, by arithmetic, so that a measurement
// can confirm or refute it. Every assumption is a number in `assumed`.
import { convolutionsOf, images, operationsPerImageStep, passesOf, passOf } from '../wide-resnet.mjs'

export const assumed = {
  gpu: 'H100 SXM',
  multiprocessors: 132,
  /** Dense bf16, of the data sheet; TFLOP/s. */
  matrixPeak: 989,
  /** What a large bf16 product reaches inside its loop, and what mma.sync does; TFLOP/s. */
  matrixLoop: 750,
  matrixLoopSm80: 450,
  /** A 128-pixel tile asks shared memory for 147 bytes a clock where there are 128. */
  smallTileShare: 128 / 147,
  /** f32: FFMA, and TF32 by mma.sync; TFLOP/s. */
  ffma: 45,
  tf32: 200,
  /** A copy within device memory, and what kernels bound by memory reach of it; TB/s. */
  copy: 3.0,
  copyShare: 0.85,
  /** From one kernel's last store to the next one's full ring, hidden in part by dependent launches; µs. */
  boundary: 3,
  /** Two casts, the head and its gradient, a fill and the update: kernels of a step that take no time but the boundary. */
  smallKernels: 6,
}

/** The tile that convolution_sm90.cu takes: { pixels, channels }, or undefined where the layer is not its. */
export function tileOf(m, n, k) {
  if (n % 32 !== 0 || k % 16 !== 0) return undefined
  const channels = [160, 128, 64, 32].find((width) => n % width === 0)
  if (channels < 128) return { pixels: 128, channels }
  const waves = (pixels) => Math.ceil((Math.ceil(m / pixels) * (n / channels)) / assumed.multiprocessors)
  return { pixels: 2 * waves(256) <= 1.1 * waves(128) ? 256 : 128, channels }
}

/** One convolution: { m, n, k, operations, bytes, tile, waves, efficiency, floor, microseconds }; `floor` is the larger of
 *  operations and bytes at the GPU's peaks. */
export function predictConvolution(layer, pass, batch) {
  const { m, n, k, operations, bytes: least } = passOf(layer, pass, batch)
  // Where a block ends, its result is written before and after LeakyReLU: the next block's skip connection takes the one,
  // its convolution the other.
  const both = pass === 'forward' && (layer.name === 'stem' || layer.name.endsWith('conv2'))
  const bytes = least + (both ? 2 * m * n : 0)
  const memory = bytes / (assumed.copy * assumed.copyShare) / 1e6
  const floor = Math.max(operations / assumed.matrixPeak, bytes / assumed.copy) / 1e6
  const source = pass === 'forward' ? layer.cin : layer.cout
  const tile = pass === 'wgrad' ? undefined : tileOf(m, n, source)
  let [product, waves, efficiency] = [operations / assumed.matrixLoopSm80 / 1e6, undefined, undefined]
  if (tile) {
    const tiles = Math.ceil(m / tile.pixels) * (n / tile.channels)
    waves = tiles / assumed.multiprocessors
    // A cluster's blocks make one tile after another: the last wave counts whole.
    const whole = Math.ceil(waves)
    efficiency = (m * n) / (whole * assumed.multiprocessors * tile.pixels * tile.channels)
    const rate = assumed.matrixLoop * (tile.pixels === 256 ? 1 : assumed.smallTileShare)
    product = operations / efficiency / rate / 1e6
  }
  if (pass === 'wgrad') product = operations / (0.85 * assumed.matrixLoop) / 1e6
  return {
    m,
    n,
    k,
    operations,
    bytes,
    tile,
    waves,
    efficiency,
    floor,
    microseconds: Math.max(product, memory) + assumed.boundary,
  }
}

const sum = (values) => values.reduce((total, value) => total + value, 0)

/** One SGLD step: { microseconds, imageStepsPerSecond, tflops }. */
export function predictStep(net, batch, precision = 'bf16') {
  const image = images[net]
  const layers = convolutionsOf(net, image)
  const operations = batch * operationsPerImageStep(net, image)
  const passes = layers.flatMap((layer) =>
    passesOf(layer)
      .filter((pass) => pass !== 'wgrad')
      .map((pass) => predictConvolution(layer, pass, batch)),
  )
  const small = assumed.smallKernels * assumed.boundary
  const rate = { fp32: assumed.ffma, tf32: assumed.tf32 }[precision]
  const plain = ({ operations: o, bytes }) =>
    Math.max(o / rate, (2 * bytes) / (assumed.copy * assumed.copyShare)) / 1e6 + assumed.boundary
  const microseconds = small + sum(passes.map((pass) => (rate ? plain(pass) : pass.microseconds)))
  return { microseconds, imageStepsPerSecond: (batch / microseconds) * 1e6, tflops: operations / microseconds / 1e6 }
}

/** Forward, to the input and to the weights, of one batch: microseconds of the convolutions. */
export function predictPasses(net, batch) {
  const layers = convolutionsOf(net, images[net])
  return sum(
    layers.flatMap((layer) => passesOf(layer).map((pass) => predictConvolution(layer, pass, batch).microseconds)),
  )
}

/** Adam, and the copy of the parameters in bf16: microseconds. */
export function predictUpdate(net) {
  const layers = convolutionsOf(net, images[net])
  const parameters = sum(layers.map(({ cin, cout, kernel }) => kernel ** 2 * cin * cout + cout))
  // Adam moves 28 bytes a parameter, the bf16 copy 6.
  return (34 * parameters) / (assumed.copy * assumed.copyShare) / 1e6
}

/** One JEM iteration: 20 SGLD steps, then the train step on three batches and Adam: { milliseconds, sampling, training }. */
export function predictIteration(net, batch, steps = 20) {
  const training = 3 * predictPasses(net, batch) + predictUpdate(net)
  const sampling = steps * predictStep(net, batch).microseconds
  return { milliseconds: (sampling + training) / 1e3, sampling: sampling / 1e3, training: training / 1e3 }
}
