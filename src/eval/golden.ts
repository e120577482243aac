import { backward, grad } from '../autograd/backward.ts'
import { noGrad } from '../autograd/graph.ts'
import { CheckpointError, DataError } from '../errors.ts'
import { imagesFromPyTorch, imagesToPyTorch, type NumericArray } from '../io/pytorch.ts'
import { readSafetensors, type SafetensorsFile, type SafetensorsTensor } from '../io/safetensors.ts'
import { JemModel } from '../jem/model.ts'
import { objective } from '../jem/objective.ts'
import { inMode, sgld } from '../jem/sampler.ts'
import type { Device } from '../native/contract.ts'
import type { NormName } from '../nn/norms.ts'
import { loadStateDict, toPyTorch } from '../nn/stateDict.ts'
import { type Precision, withPrecision } from '../ops/precision.ts'
import { l2Norm, max, sum } from '../ops/reduce.ts'
import { softmax } from '../ops/softmax.ts'
import { Adam } from '../optim/adam.ts'
import { Generator } from '../random/generator.ts'
import { tensor } from '../tensor/create.ts'
import { scope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'

/** How far one golden value was missed. */
export interface GoldenResult {
  key: string
  /** ‖ours − golden‖₂ / ‖golden‖₂ */
  relative: number
  maxAbsolute: number
  tolerance: number
  /** Which of the two errors the tolerance bounds. */
  bound: 'relative' | 'absolute'
  pass: boolean
}

/**
 * Bounds on the relative L2 error. `net`: one forward and backward pass. `chain[k]`: x_k − x after k SGLD steps; in f32
 * the image itself rounds at 6e-8, which is 2e-4 of these small steps, and a LeakyReLU that rounding tips over its kink
 * changes the path: PyTorch in float32 misses its own float64 by as much. `update`: the change of a parameter over three
 * Adam steps, which divide each gradient by its own size and so magnify the errors of small ones; and here, too, rounding
 * may tip an activation: float64 with weights changed by 3e-7 of themselves misses the golden updates by up to 8e-3.
 */
const tolerances = {
  f64: { net: 1e-9, chain: { 1: 1e-9, 5: 1e-9, 20: 1e-9 }, update: 1e-8 },
  f32: { net: 2e-5, chain: { 1: 1e-3, 5: 1e-3, 20: 5e-2 }, update: 5e-2 },
}

/** Adam's learning rate in the training part. */
const lr = 1e-4

/** A golden gradient below this share of the whole gradient is rounding: the bias of a convolution before a norm has
 *  gradient 0. Such a parameter's gradient is bounded by the whole gradient, and its change, which Adam makes ± lr a
 *  step whatever the size of the gradient, by 2·3·lr. */
const roundingShare = 1e-12

/** A batch of images in PyTorch's layout as a tensor. */
function images(file: SafetensorsFile, key: string, dtype: 'f32' | 'f64', device: Device): Tensor {
  const { data, shape } = entry(file, key)
  const ours = imagesFromPyTorch(data as NumericArray, shape)
  const host =
    dtype === 'f64' ? Float64Array.from(ours.data as Float32Array) : Float32Array.from(ours.data as Float32Array)
  return tensor(host, { shape: ours.shape, device })
}

function entry(file: SafetensorsFile, key: string): SafetensorsTensor {
  const found = file.tensors.get(key)
  if (!found)
    throw new DataError(`the file has no ${key}`, { hint: 'give golden vectors in the form of docs/verify.md' })
  return found
}

/** The tensors under a prefix, without it. */
function under(file: SafetensorsFile, prefix: string): Map<string, SafetensorsTensor> {
  const found = new Map<string, SafetensorsTensor>()
  for (const [key, value] of file.tensors) if (key.startsWith(prefix)) found.set(key.slice(prefix.length), value)
  return found
}

function number(file: SafetensorsFile, key: string): number {
  const value = Number(file.metadata[key])
  if (!Number.isInteger(value)) throw new DataError(`metadata ${key} must be a whole number, got ${file.metadata[key]}`)
  return value
}

/**
 * Computes every golden value of a file with this engine and compares (docs/verify.md has the form of the file): the
 * net is rebuilt from the metadata and the weights. Throws DataError, CheckpointError where the file is not usable.
 */
export function verifyGolden(
  path: string,
  options: { dtype: 'f32' | 'f64'; device: Device; precision?: Precision },
): Promise<GoldenResult[]> {
  return new Golden(readSafetensors(path), options).run()
}

class Golden {
  private readonly file: SafetensorsFile
  private readonly dtype: 'f32' | 'f64'
  private readonly device: Device
  private readonly precision: Precision
  private readonly model: JemModel
  private readonly results: GoldenResult[] = []

  constructor(
    file: SafetensorsFile,
    { dtype, device, precision = 'fp32' }: { dtype: 'f32' | 'f64'; device: Device; precision?: Precision },
  ) {
    this.precision = precision
    this.file = file
    this.dtype = dtype
    this.device = device
    const channels = entry(file, 'x').shape[1]
    this.model = new JemModel({
      model: `wrn-${number(file, 'depth')}-${number(file, 'width')}`,
      norm: (file.metadata.norm ?? 'none') as NormName,
      classes: number(file, 'classes'),
      channels,
      dtype,
      device,
      generator: new Generator(0, 'init'),
    })
  }

  async run(): Promise<GoldenResult[]> {
    const { model } = this
    try {
      loadStateDict(model.stateDict(), this.weights())
      await this.evaluation()
      await this.sampling()
      await this.training()
      return this.results
    } finally {
      model.dispose()
    }
  }

  /** The counters of batch norm are I64 in PyTorch's files. */
  private weights(): Map<string, SafetensorsTensor> {
    return under(this.file, 'weights/')
  }

  private async evaluation(): Promise<void> {
    const { model, file } = this
    const outputs = scope(() =>
      inMode(model, 'eval', () =>
        model.frozen(() => {
          const x = images(file, 'x', this.dtype, this.device)
          x.requiresGrad = true
          const { logits, f } = withPrecision(this.precision, () => model.forward(x))
          const confidence = noGrad(() => max(softmax(logits), { axis: 1 }))
          const [gradient] = grad(sum(f), [x])
          const mass = l2Norm(gradient, { axes: [1, 2, 3] })
          return { logits: logits.detach(), f: f.detach(), confidence, gradient, mass }
        }),
      ),
    )
    await this.compare('eval/logits', outputs.logits)
    await this.compare('eval/f', outputs.f)
    await this.compare('eval/max_softmax', outputs.confidence)
    await this.compare('eval/grad_x_f', outputs.gradient)
    this.check(
      'eval/approx_mass',
      Array.from(await outputs.mass.data(), (v) => -v),
      entry(file, 'eval/approx_mass').data,
    )
    for (const output of Object.values(outputs)) output.dispose()
  }

  /** x_k − x after k noiseless steps. */
  private async sampling(): Promise<void> {
    const x = images(this.file, 'x', this.dtype, this.device)
    const generator = new Generator(0, 'sgld')
    const before = entry(this.file, 'x').data
    let done = 0
    for (const steps of [1, 5, 20] as const) {
      withPrecision(this.precision, () =>
        sgld(this.model, x, generator, { steps: steps - done, stepSize: 1, noiseStd: 0 }),
      )
      done = steps
      const key = `sgld/x_${steps}`
      const golden = entry(this.file, key).data
      const ours = await this.inPyTorchLayout(x)
      this.check(`${key} − x`, difference(ours, before), difference(golden, before), {
        tolerance: this.bounds.chain[steps],
      })
    }
    x.dispose()
  }

  /** Three Adam steps on fixed batches, x_q among them. */
  private async training(): Promise<void> {
    const { model, file } = this
    model.train()
    const parameters = model.namedParameters()
    const optimizer = new Adam(parameters)
    const batches = {
      px: {
        data: images(file, 'x_p', this.dtype, this.device),
        samples: images(file, 'x_q', this.dtype, this.device),
      },
      pyx: {
        images: images(file, 'x_lab', this.dtype, this.device),
        labels: tensor(Int32Array.from(entry(file, 'y_lab').data, Number), { device: this.device }),
      },
    }
    try {
      const whole = Math.sqrt(
        [...under(file, 'train/grad/').values()].reduce((total, g) => total + sumOfSquares(g.data), 0),
      )
      const isRounding = (name: string): boolean => {
        const golden = file.tensors.get(`train/grad/${name}`)
        return golden !== undefined && Math.sqrt(sumOfSquares(golden.data)) < roundingShare * whole
      }
      for (let step = 0; step < 3; step++) {
        const losses = scope(() => {
          const weights = { pxWeight: 1, pyxWeight: 1, pxyWeight: 0, energyL2: 0 }
          const { loss, fData, fSample, crossEntropy } = withPrecision(this.precision, () =>
            objective(model, batches, weights),
          )
          backward(loss)
          return [loss, fData!, fSample!, crossEntropy!].map((s) => s.detach())
        })
        const values = losses.map((loss) => loss.itemSync())
        for (const loss of losses) loss.dispose()
        this.check(`train/step${step}/losses`, values, entry(file, `train/step${step}/losses`).data)
        if (step === 0) {
          for (const [name, parameter] of parameters) {
            const key = `train/grad/${name}`
            const { data } = await toPyTorch(name, parameter.grad!)
            this.check(key, data, entry(file, key).data, isRounding(name) ? { scale: whole } : {})
          }
        }
        optimizer.step(lr)
        model.zeroGrad()
      }
      const initial = this.weights()
      for (const [name, x] of model.stateDict()) {
        const golden = file.tensors.get(`train/after3/${name}`)
        if (!golden) continue
        const { data } = await toPyTorch(name, x)
        const start = initial.get(name)!.data
        this.check(
          `train/after3/${name}`,
          difference(data, start),
          difference(golden.data, start),
          isRounding(name) ? { maxAbsolute: 2 * 3 * lr } : { tolerance: this.bounds.update },
        )
      }
    } finally {
      optimizer.dispose()
      for (const batch of [batches.px.data, batches.px.samples, batches.pyx.images, batches.pyx.labels]) batch.dispose()
    }
  }

  private async compare(key: string, ours: Tensor): Promise<void> {
    const values = ours.rank === 4 ? await this.inPyTorchLayout(ours) : await ours.data()
    this.check(key, values, entry(this.file, key).data)
  }

  private async inPyTorchLayout(x: Tensor): Promise<ArrayLike<number>> {
    return imagesToPyTorch((await x.data()) as NumericArray, x.shape).data as ArrayLike<number>
  }

  /** Adds a result. The error is taken relative to the golden value's norm, or to `scale`; where `maxAbsolute` is given,
   *  that bounds the largest single error instead. */
  private check(
    key: string,
    ours: ArrayLike<number | bigint>,
    golden: ArrayLike<number | bigint>,
    bound: { tolerance?: number; scale?: number; maxAbsolute?: number } = {},
  ): void {
    if (ours.length !== golden.length) {
      throw new CheckpointError(`${key}: ${golden.length} values are in the file, the net gives ${ours.length}`)
    }
    const error = difference(ours, golden)
    const squares = sumOfSquares(error)
    const maxAbsolute = error.reduce((most, e) => Math.max(most, Math.abs(e)), 0)
    const relative = squares === 0 ? 0 : Math.sqrt(squares) / (bound.scale ?? Math.sqrt(sumOfSquares(golden)))
    const tolerance = bound.maxAbsolute ?? bound.tolerance ?? this.bounds.net
    const kind = bound.maxAbsolute === undefined ? 'relative' : 'absolute'
    const pass = (kind === 'relative' ? relative : maxAbsolute) <= tolerance
    this.results.push({ key, relative, maxAbsolute, tolerance, bound: kind, pass })
  }

  private get bounds(): (typeof tolerances)['f32'] {
    return tolerances[this.dtype]
  }
}

function sumOfSquares(values: ArrayLike<number | bigint>): number {
  let total = 0
  for (let i = 0; i < values.length; i++) total += Number(values[i]) ** 2
  return total
}

function difference(a: ArrayLike<number | bigint>, b: ArrayLike<number | bigint>): Float64Array {
  return Float64Array.from({ length: a.length }, (_, i) => Number(a[i]) - Number(b[i]))
}
