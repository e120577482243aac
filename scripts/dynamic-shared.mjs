// Dynamic shared memory of the CUDA kernels that use it, in bytes, by readable name: the sizes that their launchers ask
// for, which the compiler does not know. Each formula names the constant in the sources that it repeats.

const elementBytes = { bf16: 2, float: 4 }

/** InnerContiguous::bytes and InnerStrided::bytes of native/cuda/kernels/product_sm80.h: a step is 64 bytes of the inner
 *  index. */
const contiguous = (_, extent) => 64 * extent
const strided = (type, extent) => {
  const size = elementBytes[type]
  return (64 / size) * (extent * size + (size === 2 ? 16 : 32))
}

/** Product::sharedBytes there: four stages, or the warps' results in rows of 16, whichever is larger. */
function product(type, tile, left, right) {
  const [rows, columns, warpRows, warpColumns] = tile
  const warps = (rows / warpRows) * (columns / warpColumns)
  return Math.max(4 * (left(type, rows) + right(type, columns)), warps * 16 * (warpColumns + 8) * 4)
}

const sm80 = '<(bf16|float), sm80::Tile<(\\d+), (\\d+), (\\d+), (\\d+)>'
const formulas = [
  // Tile::kSharedBytes of convolution_sm90_plan.h: a stage has two boxes of 64·parts pixels and the weights, each 64
  // channels of bf16 deep; two barriers a stage and one more.
  [
    /^sm90::\w+<sm90::Tile<(\d+), (\d+), (\d+), \d+>/,
    (parts, channels, stages) => stages * 128 * (2 * 64 * parts + +channels) + 8 * (2 * stages + 1),
  ],
  [new RegExp(`^sm80::convolveForward${sm80}`), (type, ...tile) => product(type, tile, contiguous, strided)],
  [new RegExp(`^sm80::convolveBackwardInput${sm80}`), (type, ...tile) => product(type, tile, contiguous, contiguous)],
  [new RegExp(`^sm80::convolveBackwardWeight${sm80}`), (type, ...tile) => product(type, tile, strided, strided)],
  [
    // A transposed left operand lies along its rows, an untransposed right one along its columns.
    new RegExp(`^sm80::multiplyMatrices${sm80} ?>?, (true|false|\\(bool\\)[01]), (true|false|\\(bool\\)[01])`),
    (type, rows, columns, warpRows, warpColumns, transposeA, transposeB) => {
      const yes = (flag) => /true|1/.test(flag)
      const tile = [rows, columns, warpRows, warpColumns]
      return product(type, tile, yes(transposeA) ? strided : contiguous, yes(transposeB) ? contiguous : strided)
    },
  ],
  // Halo::sharedBytes of convolution_halo_sm80.cu: two stages of 18 × 18 pixels and nine taps of 16 channels.
  [/^sm80::haloForward<(\w+)>/, (type) => 2 * (contiguous(type, 18 * 18) + 9 * strided(type, 16))],
  [/^sm80::haloBackwardInput<(\w+)>/, (type) => 2 * (contiguous(type, 18 * 18) + 9 * contiguous(type, 16))],
  // All weights as f32 (shapeOf of convolution_stem.cu): 3×3 to or from 16 channels, as the reference nets have them.
  [/^stem::\w+<\w+, (\d+)>/, (channels) => 4 * 9 * 16 * channels],
]

/** undefined where no formula fits. */
export function dynamicSharedBytes(name) {
  for (const [pattern, bytes] of formulas) {
    const match = pattern.exec(name)
    if (match) return bytes(...match.slice(1).map((text) => (/^\d+$/.test(text) ? Number(text) : text)))
  }
  return undefined
}
