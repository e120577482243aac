// The paper's claims, put to the evidence runs: each as a difference that is positive where the claim holds.
import { statistic } from '../../dist/eval/compare.js'

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length

export const numberOf = (run, name) => run.numbers.find((number) => number.name === name)?.value

/** Accuracy under PGD, the mean over all ε > 0 of both norms: the same attack on the model and on its JEM-1. */
export function accuracyUnderPgd(run, model) {
  const curves = run.curves.filter((curve) => curve.model === model && curve.attack === 'pgd')
  return mean(
    curves.flatMap(({ points }) => points.filter(({ epsilon }) => epsilon > 0).map(({ accuracy }) => accuracy)),
  )
}

/** Names of the out-of-distribution sets of a run. */
export const oodSetsOf = (run) =>
  run.numbers.flatMap(({ name }) => /^AUROC of log p\(x\) against (.+)$/.exec(name)?.[1] ?? [])

const auroc = (run, score) => mean(oodSetsOf(run).map((set) => numberOf(run, `AUROC of ${score} against ${set}`)))
const recognisedName = 'fresh samples that the baseline recognises'

/** Each claim: what it says, what its two sides are, and both for a run of JEM and the classifier of the same seed; sides
 *  are undefined where the run lacks the number. */
const claims = [
  {
    claim: 'JEM is better calibrated than the plain classifier',
    sides: 'ECE (15 bins) of the classifier; of JEM',
    of: (jem, classifier) => [numberOf(jem, 'ECE, 15 bins'), numberOf(classifier, 'ECE, 15 bins')],
    sign: -1,
  },
  {
    claim: 'the same after temperature scaling of both',
    sides: 'ECE (15 bins), scaled, of the classifier; of JEM',
    of: (jem, classifier) => [numberOf(jem, 'ECE, 15 bins, scaled'), numberOf(classifier, 'ECE, 15 bins, scaled')],
    sign: -1,
  },
  {
    claim: 'JEM tells foreign images by log p(x), better than the classifier by its confidence',
    sides: 'mean AUROC: the classifier’s max p(y\\|x); JEM’s log p(x)',
    of: (jem, classifier) => [auroc(jem, 'log p(x)'), auroc(classifier, 'max p(y|x)')],
    sign: 1,
  },
  {
    claim: 'the mass score beats log p(x)',
    sides: 'mean AUROC of JEM’s log p(x); of −‖∂log p/∂x‖',
    of: (jem) => [auroc(jem, '−‖∂log p/∂x‖₂'), auroc(jem, 'log p(x)')],
    sign: 1,
  },
  {
    claim: 'JEM is more robust than the classifier',
    sides: 'accuracy under PGD, mean over ε: the classifier; JEM',
    of: (jem, classifier) => [accuracyUnderPgd(jem, 'run'), accuracyUnderPgd(classifier, 'run')],
    sign: 1,
  },
  {
    claim: 'JEM-1 raises JEM’s robust accuracy',
    sides: 'accuracy under PGD, mean over ε: JEM; JEM-1',
    of: (jem) => [accuracyUnderPgd(jem, 'run, JEM-1'), accuracyUnderPgd(jem, 'run')],
    sign: 1,
  },
  {
    claim: 'JEM’s samples look like the data',
    sides: 'nine in ten; fresh samples of a class that the classifier takes for it',
    of: (jem) => [numberOf(jem, recognisedName), 0.9],
    sign: 1,
  },
]

/** Whether differences by seed hold what is claimed: all of them are positive and, of several seeds, their mean is more
 *  than two standard errors. */
export function holds(differences) {
  if (!differences.every((difference) => difference > 0)) return false
  const { mean: middle, std, n } = statistic(differences)
  return n === 1 || middle > (2 * std) / Math.sqrt(n)
}

/** The claims on one data set's runs: [{ claim, sides, before, after, seeds, held }], `before` and `after` as means over
 *  seeds; claims that no run can tell anything of are left out. */
export function judgeClaims(runs) {
  const classifiers = new Map(runs.filter(({ recipe }) => recipe === 'classifier').map((run) => [run.seed, run]))
  const pairs = runs.filter(({ recipe, seed }) => recipe === 'jem' && classifiers.has(seed))
  return claims.flatMap(({ claim, sides, of, sign }) => {
    const values = pairs
      .map((jem) => ({ seed: jem.seed, sides: of(jem, classifiers.get(jem.seed)) }))
      .filter((pair) => pair.sides.every((value) => value !== undefined))
    if (values.length === 0) return []
    const differences = values.map((pair) => sign * (pair.sides[0] - pair.sides[1]))
    const [after, before] = [0, 1].map((i) => mean(values.map((pair) => pair.sides[i])))
    return [{ claim, sides, before, after, seeds: values.map(({ seed }) => seed), held: holds(differences) }]
  })
}
