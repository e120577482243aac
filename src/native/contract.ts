/** The typed mirror of native/core/op_table.h: what every backend's addon exports. A test compares `signatures` with
 *  the ones that the addon derives from its C++ types; the compiler compares them with `NativeOps` (end of file). */

export type Device = 'cpu' | 'cuda'
export type DType = 'f32' | 'f64' | 'bf16' | 'i32' | 'u8'

/** A buffer of a device; 0 where an optional one is absent. */
export type Handle = number
/** A recorded sequence of calls. */
export type Graph = number
/** Six extents or strides, outermost first; see `dims` and `strides` in ops/layout.ts. */
export type Dims = [number, number, number, number, number, number]
/** batch, height, width, cin, cout, kh, kw, stride, padding */
export type ConvShape = [number, number, number, number, number, number, number, number, number]
/** batch, height, width, channels, window, stride */
export type PoolShape = [number, number, number, number, number, number]
/** outer, positions, channels, groupSize */
export type NormShape = [number, number, number, number]
/** seed, step, stream, purpose */
export type Philox = [number, number, number, number]

/** Kinds in the order of the enums of op_table.h: a kind's number is its place here. */
export const unaryKinds = [
  'neg',
  'exp',
  'log',
  'sqrt',
  'abs',
  'sign',
  'square',
  'reciprocal',
  'relu',
  'leakyRelu',
  'elu',
  'sigmoid',
  'tanh',
  'silu',
  'softplus',
  'gelu',
  'clamp',
  'affine',
  'power',
] as const
export const binaryKinds = ['add', 'sub', 'mul', 'div', 'maximum', 'minimum'] as const
export const compareKinds = ['equal', 'notEqual', 'less', 'lessEqual', 'greater', 'greaterEqual'] as const
export const reduceKinds = ['sum', 'max', 'min', 'sumSquares'] as const

/** The ops; what each computes is documented in native/core/op_table.h. */
export interface NativeOps {
  fill(y: Handle, n: number, value: number): void
  convert(x: Handle, y: Handle, n: number): void
  stridedCopy(
    ...args: [
      x: Handle,
      y: Handle,
      ...shape: Dims,
      ...xStrides: Dims,
      xOffset: number,
      ...yStrides: Dims,
      yOffset: number,
    ]
  ): void
  gatherRows(x: Handle, index: Handle, y: Handle, rows: number, count: number, rowSize: number): void
  scatterRows(
    x: Handle,
    index: Handle,
    y: Handle,
    rows: number,
    count: number,
    rowSize: number,
    accumulate: number,
  ): void
  unary(kind: number, x: Handle, y: Handle, n: number, a: number, b: number): void
  unaryBackward(kind: number, x: Handle, dy: Handle, dx: Handle, n: number, a: number, b: number): void
  binary(
    ...args: [kind: number, a: Handle, b: Handle, y: Handle, ...shape: Dims, ...aStrides: Dims, ...bStrides: Dims]
  ): void
  compare(
    ...args: [kind: number, a: Handle, b: Handle, y: Handle, ...shape: Dims, ...aStrides: Dims, ...bStrides: Dims]
  ): void
  where(
    ...args: [
      condition: Handle,
      a: Handle,
      b: Handle,
      y: Handle,
      ...shape: Dims,
      ...conditionStrides: Dims,
      ...aStrides: Dims,
      ...bStrides: Dims,
    ]
  ): void
  accumulate(x: Handle, y: Handle, n: number): void
  leakyRelu(x: Handle, y: Handle, signs: Handle, n: number, slope: number): void
  leakyReluBackward(dy: Handle, signs: Handle, add: Handle, dx: Handle, n: number, slope: number): void
  dropout(...args: [x: Handle, y: Handle, n: number, p: number, ...philox: Philox]): void
  reduce(kind: number, x: Handle, y: Handle, outer: number, axis: number, inner: number): void
  argmax(x: Handle, y: Handle, outer: number, axis: number, inner: number): void
  pick(x: Handle, index: Handle, y: Handle, outer: number, axis: number, inner: number): void
  pickBackward(index: Handle, dy: Handle, dx: Handle, outer: number, axis: number, inner: number): void
  matmul(
    a: Handle,
    b: Handle,
    bias: Handle,
    y: Handle,
    m: number,
    n: number,
    k: number,
    transposeA: number,
    transposeB: number,
  ): void
  conv2d(
    ...args: [
      x: Handle,
      weight: Handle,
      bias: Handle,
      residual: Handle,
      shortcut: Handle,
      shortcutWeight: Handle,
      shortcutBias: Handle,
      y: Handle,
      pre: Handle,
      signs: Handle,
      ...s: ConvShape,
      shortcutChannels: number,
      slope: number,
    ]
  ): void
  conv2dBackwardInput(
    ...args: [dy: Handle, weight: Handle, signs: Handle, add: Handle, dx: Handle, ...s: ConvShape, slope: number]
  ): void
  conv2dBackwardWeight(...args: [x: Handle, dy: Handle, dweight: Handle, dbias: Handle, ...s: ConvShape]): void
  avgPool2d(...args: [x: Handle, y: Handle, ...s: PoolShape]): void
  avgPool2dBackward(...args: [dy: Handle, dx: Handle, ...s: PoolShape]): void
  norm(
    ...args: [
      x: Handle,
      gamma: Handle,
      beta: Handle,
      y: Handle,
      mean: Handle,
      rstd: Handle,
      ...s: NormShape,
      eps: number,
    ]
  ): void
  normBackward(
    ...args: [
      dy: Handle,
      x: Handle,
      mean: Handle,
      rstd: Handle,
      gamma: Handle,
      dx: Handle,
      dgamma: Handle,
      dbeta: Handle,
      ...s: NormShape,
    ]
  ): void
  channelAffine(x: Handle, scale: Handle, shift: Handle, y: Handle, positions: number, channels: number): void
  softmax(x: Handle, y: Handle, rows: number, columns: number, logarithm: number): void
  softmaxBackward(y: Handle, dy: Handle, dx: Handle, rows: number, columns: number, logarithm: number): void
  logsumexp(x: Handle, y: Handle, rows: number, columns: number): void
  logsumexpBackward(x: Handle, y: Handle, dy: Handle, dx: Handle, rows: number, columns: number): void
  crossEntropy(x: Handle, labels: Handle, loss: Handle, rows: number, columns: number): void
  crossEntropyBackward(x: Handle, labels: Handle, dy: Handle, dx: Handle, rows: number, columns: number): void
  energyHead(
    x: Handle,
    weight: Handle,
    bias: Handle,
    labels: Handle,
    f: Handle,
    gradient: Handle,
    batch: number,
    positions: number,
    channels: number,
    classes: number,
  ): void
  energyHeadBackward(
    gradient: Handle,
    dy: Handle,
    signs: Handle,
    add: Handle,
    dx: Handle,
    batch: number,
    positions: number,
    channels: number,
    slope: number,
  ): void
  randomUniform(...args: [y: Handle, n: number, low: number, high: number, ...philox: Philox]): void
  randomNormal(...args: [y: Handle, n: number, mean: number, std: number, ...philox: Philox]): void
  randomInt(...args: [y: Handle, n: number, low: number, high: number, ...philox: Philox]): void
  sgldUpdate(
    ...args: [
      x: Handle,
      g: Handle,
      n: number,
      stepSize: number,
      noiseStd: number,
      clip: number,
      low: number,
      high: number,
      ...philox: Philox,
    ]
  ): void
  adam(
    parameters: Handle[],
    gradients: Handle[],
    firstMoments: Handle[],
    secondMoments: Handle[],
    gradientScale: Handle,
    lr: number,
    beta1: number,
    beta2: number,
    eps: number,
    weightDecay: number,
    step: number,
  ): void
  sgd(
    parameters: Handle[],
    gradients: Handle[],
    velocities: Handle[],
    gradientScale: Handle,
    lr: number,
    momentum: number,
    weightDecay: number,
  ): void
  movingAverage(averages: Handle[], values: Handle[], decay: number): void
  sumSquares(x: Handle[], y: Handle): void
  clipScale(sumSquares: Handle, scale: Handle, limit: number): void
  imageBatch(
    ...args: [
      images: Handle,
      index: Handle,
      y: Handle,
      n: number,
      count: number,
      height: number,
      width: number,
      channels: number,
      padding: number,
      flip: number,
      noiseStd: number,
      ...philox: Philox,
    ]
  ): void
}

/** The parameters of each op in order, in the words of native/addon/bind.h. */
export const signatures = {
  fill: 'out integer number',
  convert: 'in out integer',
  stridedCopy: 'in inout dims dims integer dims integer',
  gatherRows: 'in in out integer integer integer',
  scatterRows: 'in in inout integer integer integer flag',
  unary: 'integer in out integer number number',
  unaryBackward: 'integer in in out integer number number',
  binary: 'integer in in out dims dims dims',
  compare: 'integer in in out dims dims dims',
  where: 'in in in out dims dims dims dims',
  accumulate: 'in inout integer',
  leakyRelu: 'in out out? integer number',
  leakyReluBackward: 'in in in? out integer number',
  dropout: 'in out integer number philox',
  reduce: 'integer in out integer integer integer',
  argmax: 'in out integer integer integer',
  pick: 'in in out integer integer integer',
  pickBackward: 'in in out integer integer integer',
  matmul: 'in in in? out integer integer integer flag flag',
  conv2d: 'in in in? in? in? in? in? out out? out? convShape integer number',
  conv2dBackwardInput: 'in in in? in? out convShape number',
  conv2dBackwardWeight: 'in in out out? convShape',
  avgPool2d: 'in out poolShape',
  avgPool2dBackward: 'in out poolShape',
  norm: 'in in? in? out out out normShape number',
  normBackward: 'in in in in in? out? out? out? normShape',
  channelAffine: 'in in in? out integer integer',
  softmax: 'in out integer integer flag',
  softmaxBackward: 'in in out integer integer flag',
  logsumexp: 'in out integer integer',
  logsumexpBackward: 'in in in out integer integer',
  crossEntropy: 'in in out integer integer',
  crossEntropyBackward: 'in in in out integer integer',
  energyHead: 'in in in? in? out out? integer integer integer integer',
  energyHeadBackward: 'in in in? in? out integer integer integer number',
  randomUniform: 'out integer number number philox',
  randomNormal: 'out integer number number philox',
  randomInt: 'out integer integer integer philox',
  sgldUpdate: 'inout in integer number number number number number philox',
  adam: 'list list list list in? number number number number number integer',
  sgd: 'list list list in? number number number',
  movingAverage: 'list list number',
  sumSquares: 'list out',
  clipScale: 'in out number',
  imageBatch: 'in in out integer integer integer integer integer integer flag number philox',
} as const

/** Everything that a backend's addon exports. Errors it throws have `code`: ARGUMENT (a wrong call), HANDLE (a stale
 *  buffer), OUT_OF_MEMORY, FAULT (a kernel failed earlier; the message names the op), DEVICE. */
export interface NativeAddon {
  backend: Device
  alloc(count: number, dtype: DType): Handle
  free(handle: Handle): void
  /** Copies the array at once; the buffer changes in stream order. */
  write(handle: Handle, from: ArrayBufferView): void
  /** Waits for the stream, then copies. */
  readSync(handle: Handle, into: ArrayBufferView): void
  read(handle: Handle, into: ArrayBufferView): Promise<void>
  synchronize(): void
  memory(): { buffers: number; liveBytes: number; peakBytes: number; cachedBytes: number; scratchBytes: number }
  resetPeak(): void
  /** Most bytes that live and cached buffers may take; 0: no limit. */
  setMemoryLimit(bytes: number): void
  threads(): number
  /** 0: one per core. */
  setThreads(threads: number): void
  /** The kernels in use, an instruction set or a GPU's level, and those that this machine can run, comma-separated. */
  variant(): string
  variants(): string
  setVariant(name: string): boolean
  /** How f32 is multiplied from here on. */
  setPrecision(name: 'fp32' | 'tf32' | 'strict'): boolean
  /** What a person would want to know of the hardware and the build. */
  properties(): Record<string, string>
  /** Whether calls can be recorded and replayed; the next four are for such devices only. */
  captures: boolean
  /** Calls are recorded, and not run, until endCapture. A GPU waits for those before, and throws an earlier fault. */
  beginCapture(): void
  endCapture(): Graph
  /** Runs the recorded calls, with `stepOffset` added to every Philox step in them. */
  replay(graph: Graph, stepOffset: number): void
  /** The memory that the recorded calls use is kept until then. */
  disposeGraph(graph: Graph): void
  /** Whether the device's threads can each replay a graph by themselves, which replayLanes is for. */
  hasLanes: boolean
  /** Runs each lane's calls `times` times in order on one thread, those of different lanes at once, with `stepOffset`,
   *  and `steps` more each time, added to every Philox step and `firstElement` to the numbers of random elements. */
  replayLanes(
    lanes: readonly (readonly [graph: Graph, stepOffset: number, firstElement: number])[],
    times: number,
    steps: number,
  ): void
  ops: NativeOps
  signatures: Record<string, string>
}

// ---- compile-time check: NativeOps and signatures say the same ----

interface Words {
  in: [number]
  'in?': [number]
  out: [number]
  'out?': [number]
  inout: [number]
  integer: [number]
  number: [number]
  flag: [number]
  list: [number[]]
  dims: Dims
  convShape: ConvShape
  poolShape: PoolShape
  normShape: NormShape
  philox: Philox
}
type ArgumentsOf<S extends string> = S extends `${infer W extends keyof Words & string} ${infer Rest}`
  ? [...Words[W], ...ArgumentsOf<Rest>]
  : S extends keyof Words
    ? Words[S]
    : never
type Agree = {
  [K in keyof typeof signatures]: K extends keyof NativeOps
    ? Parameters<NativeOps[K]> extends ArgumentsOf<(typeof signatures)[K]>
      ? ArgumentsOf<(typeof signatures)[K]> extends Parameters<NativeOps[K]>
        ? true
        : never
      : never
    : never
}
type Same = [keyof NativeOps] extends [keyof typeof signatures] ? Agree : never
const agree: Same[keyof typeof signatures] = true
void agree
