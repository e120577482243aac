import { type Dataset, takeImages } from '../../data/dataset.ts'
import { samplerOptions } from '../../jem/trainer.ts'
import { Generator } from '../../random/generator.ts'
import {
  type AccuracyCurve,
  accuracyCurve,
  type CurvePoint,
  curveOfDistances,
  imageTensor,
} from '../attacks/accuracyCurve.ts'
import { apgd } from '../attacks/apgd.ts'
import type { Attack } from '../attacks/attack.ts'
import { expectEpsilon, type Norm } from '../attacks/ball.ts'
import { type Classifier, classifierOf, refinedClassifier } from '../attacks/classifier.ts'
import { distalAdversarials } from '../attacks/distal.ts'
import { gradientMasking, type MaskingReport } from '../attacks/gradientMasking.ts'
import { minimalDistances } from '../attacks/minimalDistance.ts'
import { type AttackName, attackNames, defaultEpsilons } from '../attacks/names.ts'
import { pgd } from '../attacks/pgd.ts'
import { percent } from '../format.ts'
import { quantile } from '../metrics.ts'
import { pngGrid } from '../pictures.ts'
import {
  type Candidate,
  candidatesOf,
  describeMeasured,
  type MeasuredOn,
  measuredOn,
  type NamedNumber,
  type ResultTable,
  type Suite,
  type SuiteContext,
  type SuiteOutput,
} from './suite.ts'

export interface RobustnessOptions {
  /** How many of the test images to attack, the first ones; default 100. The released code takes 300. */
  images?: number
  /** Budgets of each norm in 1/255 of [0, 1]; a norm without any is left out. */
  epsilons?: Readonly<Partial<Record<Norm, readonly number[]>>>
  /** Default: all; without apgd-dlr, which needs 3 classes, where there are 2. */
  attacks?: readonly AttackName[]
  /** Of each attack; default 40. */
  steps?: number
  /** Default 1. */
  restarts?: number
  /** Refinement steps n of each JEM-n to attack with PGD; default 1. */
  refinements?: readonly number[]
  /** Draws whose gradients are averaged in attacks on JEM-n (EOT), each of `copies` chains; default 1. */
  draws?: number
  /** Chains an image whose logits JEM-n averages; default 5, as released. */
  copies?: number
  /** Search minimal distances, too, as the released code does; default false: it takes up to 40 PGD runs. */
  minimalDistance?: boolean
}

export interface RobustnessCurve {
  /** The judged run, the baseline, or one of them as JEM-n. */
  model: string
  norm: Norm
  /** 'all': the images that no attack of the list has broken. */
  attack: AttackName | 'all' | 'minimal-distance'
  points: CurvePoint[]
}

export interface RobustnessResult {
  /** Without noise: σ is 0, except inside JEM-n. */
  on: MeasuredOn
  protocol: { steps: number; restarts: number; draws: number; copies: number; refinementSigma: number }
  curves: RobustnessCurve[]
  /** Median distance to the nearest adversarial image found in 1/255; null where the median image has none. */
  minimalDistances: { model: string; norm: Norm; median: number | null }[]
  masking: ({ model: string } & MaskingReport)[]
  /** Images from noise that maximise p(y|x), one a class. */
  distal: { model: string; picture: string; classNames: string[]; confidence: number[] }[]
}

/** Accuracy under attacks, the checks that such numbers need, and distal adversarials. The pictures are those. */
export function robustness(options: RobustnessOptions = {}): Suite<RobustnessResult> {
  for (const epsilons of Object.values(options.epsilons ?? defaultEpsilons)) epsilons.forEach(expectEpsilon)
  return { name: 'robustness', run: (context) => run(context, options), tables, notes, numbers }
}

async function run(context: SuiteContext, options: RobustnessOptions): Promise<SuiteOutput<RobustnessResult>> {
  const { images = 100, steps = 40, restarts = 1, draws = 1, copies = 5, refinements = [1] } = options
  const { test, seed, sigma } = context
  const data = takeImages(
    test,
    Int32Array.from({ length: Math.min(images, test.count) }, (_, i) => i),
  )
  const result: RobustnessResult = {
    on: { ...measuredOn(context, data), sigma: 0 },
    protocol: { steps, restarts, draws, copies, refinementSigma: sigma },
    ...{ curves: [], minimalDistances: [], masking: [], distal: [] },
  }
  const pictures: Record<string, Uint8Array> = {}
  for (const candidate of candidatesOf(context)) {
    const { name, run } = candidate
    const plain = classifierOf(run.model)
    result.curves.push(...(await curvesOf(context, name, plain, data, options)))
    for (const n of refinements) {
      const refined = refinedClassifier(run.model, new Generator(seed, 'attack', refinementStream), {
        ...samplerOptions(run.config),
        ...{ steps: n, copies, sigma },
      })
      const model = `${name}, JEM-${n}`
      result.curves.push(...(await curvesOf(context, model, refined, data, { ...options, attacks: ['pgd'], draws })))
    }
    if (options.minimalDistance) {
      for (const norm of normsOf(options)) {
        const found = await distancesOf(context, candidate, plain, data, norm, options)
        result.minimalDistances.push({ model: name, norm, median: median(found) })
        const epsilons = [0, ...epsilonsOf(options, norm)]
        result.curves.push({
          ...{ model: name, norm, attack: 'minimal-distance', points: curveOfDistances(found, epsilons) },
        })
      }
    }
    const report = await context.progress(`gradient masking of ${name}`, 4 * data.count, (onProgress) =>
      gradientMasking(plain, data, { seed, signal: context.signal, onProgress }),
    )
    result.masking.push({ model: name, ...report })
    const labels = Int32Array.from({ length: plain.classes }, (_, k) => k)
    const { images: found, confidence } = await context.progress(
      `distal adversarials of ${name}`,
      distalSteps,
      (onProgress) =>
        distalAdversarials(plain, labels, data, new Generator(seed, 'attack', distalStream), {
          ...{ steps: distalSteps, signal: context.signal, onProgress },
        }),
    )
    const picture = `distal-${name}.png`
    pictures[picture] = pngGrid(found, plain.classes)
    result.distal.push({ model: name, picture, classNames: run.data.classNames, confidence: Array.from(confidence) })
  }
  return { result, pictures }
}

const distalSteps = 200

/** Streams of the purpose `attack`, whose stream 0 has the random starts. */
const refinementStream = 1
const distalStream = 2

function epsilonsOf({ epsilons = defaultEpsilons }: RobustnessOptions, norm: Norm): readonly number[] {
  return epsilons[norm] ?? []
}

function normsOf(options: RobustnessOptions): Norm[] {
  return (['linf', 'l2'] as const).filter((norm) => epsilonsOf(options, norm).length > 0)
}

/** The curve of each attack, and of all together where there are several. */
async function curvesOf(
  { progress, seed, signal }: SuiteContext,
  model: string,
  classifier: Classifier,
  data: Dataset,
  options: RobustnessOptions,
): Promise<RobustnessCurve[]> {
  const { steps = 40, restarts = 1, draws = 1 } = options
  const names = options.attacks ?? attackNames.filter((name) => name !== 'apgd-dlr' || classifier.classes >= 3)
  const make: Record<AttackName, () => Attack> = {
    pgd: () => pgd({ steps, restarts }),
    'apgd-ce': () => apgd({ loss: 'ce', steps, restarts }),
    'apgd-dlr': () => apgd({ loss: 'dlr', steps, restarts }),
  }
  const curves: RobustnessCurve[] = []
  for (const norm of normsOf(options)) {
    const epsilons = epsilonsOf(options, norm)
    const each: AccuracyCurve[] = []
    for (const attack of names) {
      const curve = await progress(`${attack} ${norm} on ${model}`, data.count * epsilons.length, (onProgress) =>
        accuracyCurve(classifier, data, make[attack](), { norm, epsilons, seed, draws, signal, onProgress }),
      )
      each.push(curve)
      curves.push({ model, norm, attack, points: curve.points })
    }
    if (each.length > 1) curves.push({ model, norm, attack: 'all', points: jointly(each) })
  }
  return curves
}

/** Accuracy where an image stands only if it stands every attack. */
function jointly(curves: readonly AccuracyCurve[]): CurvePoint[] {
  const [first, ...others] = curves
  const brokenAt = first.brokenAt.map((at, i) => Math.min(at, ...others.map((other) => other.brokenAt[i])))
  return first.points.map(({ epsilon }) => ({
    epsilon,
    accuracy: brokenAt.filter((at) => at > epsilon).length / brokenAt.length,
  }))
}

async function distancesOf(
  { progress, seed, signal }: SuiteContext,
  { name }: Candidate,
  classifier: Classifier,
  data: Dataset,
  norm: Norm,
  { steps = 40, restarts = 1 }: RobustnessOptions,
): Promise<Float64Array> {
  const labels = Array.from(data.labels)
  using images = imageTensor(data, Int32Array.from(labels.keys()), classifier.device)
  const generator = new Generator(seed, 'attack')
  // Up to 40 PGD runs, of which each may end early.
  return await progress(`minimal ${norm} distances of ${name}`, 40 * restarts * (steps + 1), (update) => {
    let done = 0
    const onStep = () => update(++done)
    const target = { classifier, images, labels, norm, generator, signal, onStep }
    return minimalDistances(target, { steps, restarts })
  })
}

/** null: infinite. */
function median(values: Float64Array): number | null {
  const middle = quantile(values, 0.5)
  return Number.isFinite(middle) ? middle : null
}

const normNames: Record<Norm, string> = { linf: 'L∞', l2: 'L2' }

function tables({ on, curves, masking, distal, minimalDistances }: RobustnessResult): ResultTable[] {
  const measured = describeMeasured(on)
  const all: ResultTable[] = (['linf', 'l2'] as const).flatMap((norm) => {
    const rows = curves.filter((curve) => curve.norm === norm)
    if (rows.length === 0) return []
    return {
      caption: `Accuracy under attacks in ${normNames[norm]}, ε in 1/255 of [0, 1]: ${measured}`,
      head: ['model and attack', ...rows[0].points.map(({ epsilon }) => (epsilon === 0 ? 'none' : `ε ${epsilon}`))],
      rows: rows.map(({ model, attack, points }) => [
        `${model}: ${attack}`,
        ...points.map(({ accuracy }) => percent(accuracy, 1)),
      ]),
    }
  })
  if (minimalDistances.length > 0) {
    all.push({
      caption: `Distance to the nearest adversarial image found, in 1/255 of [0, 1]: ${measured}`,
      head: ['model', 'norm', 'median'],
      rows: minimalDistances.map(({ model, norm, median }) => [
        model,
        normNames[norm],
        median?.toFixed(3) ?? 'none found',
      ]),
    })
  }
  all.push(
    {
      caption: `Checks for gradient masking in L∞, ε ${masking[0].epsilon}: ${measured}`,
      head: ['check', 'finding', 'verdict'],
      rows: masking.flatMap(({ model, checks }) =>
        checks.map(({ name, finding, passed }) => [`${model}: ${name}`, finding, passed ? 'passed' : 'FAILED']),
      ),
    },
    {
      caption: `Distal adversarials: p(y|x) of images made from uniform noise to maximise it, one a class, ${distalSteps} steps, seed ${on.seed}`,
      head: ['model', 'mean p(y|x)', 'above 0.9'],
      rows: distal.map(({ model, confidence }) => [
        model,
        (confidence.reduce((sum, p) => sum + p, 0) / confidence.length).toFixed(3),
        `${confidence.filter((p) => p > 0.9).length} of ${confidence.length}`,
      ]),
    },
  )
  return all
}

/** The judged run's accuracy at each ε, where no attack of the list succeeds. */
function numbers({ on, protocol, curves }: RobustnessResult): NamedNumber[] {
  const judged = curves[0]?.model
  return (['linf', 'l2'] as const).flatMap((norm) => {
    const ours = curves.filter((curve) => curve.norm === norm && curve.attack !== 'minimal-distance')
    return [...new Set(ours.map(({ model }) => model))]
      .filter((model) => model === judged || model.startsWith(`${judged}, JEM-`))
      .flatMap((model) => {
        const { attack, points } = ours.findLast((curve) => curve.model === model)! // 'all', where there are several
        const who = model === judged ? '' : `${model.slice(judged.length + 2)} `
        return points
          .filter(({ epsilon }) => epsilon > 0)
          .map(({ epsilon, accuracy }) => ({
            name: `${who}accuracy at ${normNames[norm]} ε ${epsilon} (${attack}, ${protocol.steps} steps)`,
            value: accuracy,
            unit: 'percent' as const,
            on,
          }))
      })
  })
}

function notes({ curves, masking, protocol }: RobustnessResult): string[] {
  const { steps, restarts, draws, copies, refinementSigma } = protocol
  const all = [
    `Each attack: ${steps} steps, ${restarts} random start${restarts === 1 ? '' : 's'}, on images without noise; an image ` +
      "that a smaller ε has broken counts as broken. Row 'all': images that stand every attack of the list.",
  ]
  if (curves.some(({ model }) => model.includes('JEM-'))) {
    all.push(
      `JEM-n refines ${copies} copies of each image, with noise of standard deviation ${refinementSigma}, by n SGLD steps ` +
        `and averages their logits; the attack takes the refinement for the identity (BPDA) and averages ${draws} ` +
        `draw${draws === 1 ? '' : 's'} a step (EOT). Such numbers overstate the robustness of randomised defences: they are ` +
        'upper bounds, and not to be compared with those of deterministic classifiers.',
    )
  }
  for (const { model, checks } of masking) {
    const failed = checks.filter(({ passed }) => !passed).map(({ name }) => name)
    if (failed.length > 0) {
      all.push(
        `Gradient masking (${model}: ${failed.join(', ')}): its accuracy under gradient attacks is no evidence of robustness.`,
      )
    }
  }
  return all
}
