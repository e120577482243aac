import type { Dataset } from '../data/dataset.ts'
import { DataError } from '../errors.ts'
import type { JemModel } from '../jem/model.ts'
import { modelOutputs, type Outputs } from './scores.ts'
import type { SuiteContext } from './suites/suite.ts'

export interface ScoreCacheOptions extends Pick<SuiteContext, 'sigma' | 'seed' | 'signal' | 'progress'> {
  /** The model's name in progress and errors. */
  name: string
  /** Whether any suite asks for `withGradients`; each pass then computes input gradients, so that none is done twice. */
  gradients: boolean
}

/** What one model says of data sets, each judged once however many suites ask. */
export class ScoreCache {
  private readonly model: JemModel
  private readonly options: ScoreCacheOptions
  private readonly known = new Map<Dataset, Promise<Outputs>>()

  constructor(model: JemModel, options: ScoreCacheOptions) {
    this.model = model
    this.options = options
  }

  /** Logits [count, classes] and f [count]. Throws DataError where one is not finite. */
  outputs(data: Dataset): Promise<Outputs> {
    const known = this.known.get(data) ?? this.judge(data)
    this.known.set(data, known)
    return known
  }

  /** The same with the norm of the input gradient. Only where the cache was made with `gradients`. */
  async withGradients(data: Dataset): Promise<Required<Outputs>> {
    const outputs = await this.outputs(data)
    if (!outputs.gradientNorm) throw new Error('this score cache was made without gradients')
    return outputs as Required<Outputs>
  }

  private judge(data: Dataset): Promise<Outputs> {
    const { name, sigma, seed, signal, gradients, progress } = this.options
    return progress(`judge ${data.name} with ${name}`, data.count, async (onProgress) => {
      const outputs = await modelOutputs(this.model, data, { sigma, seed, signal, gradients, onProgress })
      refuseNonFinite(outputs, `${name}: `, data)
      return outputs
    })
  }
}

function refuseNonFinite(outputs: Outputs, where: string, data: Dataset): void {
  const labels = { logits: 'logits', f: 'log p(x)', gradientNorm: '‖∂log p/∂x‖₂' }
  for (const key of ['logits', 'f', 'gradientNorm'] as const) {
    const values = outputs[key]
    if (!values) continue
    let count = 0
    for (const value of values) if (!Number.isFinite(value)) count++
    if (count === 0) continue
    throw new DataError(
      `${where}${count} of ${values.length} values of ${labels[key]} on ${data.name} are NaN or infinite`,
      { hint: 'the model has diverged: judge an earlier checkpoint; no image is left out in silence' },
    )
  }
}
