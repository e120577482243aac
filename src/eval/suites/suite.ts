import type { Dataset } from '../../data/dataset.ts'
import type { LoadedRun } from '../../jem/loadRun.ts'
import type { ScoreCache } from '../score-cache.ts'

/**
 * One way to judge a trained model. A suite is made from its own options (`calibration({ … })`), runs in a context that
 * all suites share, and gives numbers that JSON can hold; everything shown later, on a terminal or in the report, is made
 * from those numbers and pictures alone.
 *
 * A new suite is a file here that makes it, its section in `eval/report/<name>.ts`, and a line each in
 * `eval/report/sections.ts` and in the command's list (`cli/run/eval.ts`).
 */
export interface Suite<Result extends object = object> {
  /** Its key in eval.json. */
  readonly name: string
  /** Whether it reads input gradients from the score cache; then every pass over images computes them. */
  readonly usesGradients?: boolean
  /** Throws DataError, ConfigError where it cannot be run at all. Asked before any suite is run. */
  check?(context: SuiteContext): void
  /** Throws DataError, where a model has diverged for one. */
  run(context: SuiteContext): Promise<SuiteOutput<Result>>
  /** The result in words and numbers. */
  tables(result: Result): ResultTable[]
  /** What stands for the judged run where runs are compared, their seeds averaged. */
  numbers?(result: Result): NamedNumber[]
  /** Definitions and protocol, a sentence or two each, that stand below the tables. */
  notes?(result: Result): string[]
}

export interface SuiteOutput<Result extends object> {
  /** Plain JSON: no NaN, no typed arrays. */
  result: Result
  /** PNG files by name, `samples-buffer.png`; they are written beside eval.json into `eval/`. */
  pictures?: Pictures
}

/** One figure of a result, for `langevin compare`. */
export interface NamedNumber {
  /** The same in every run: "AUROC of log p(x) against svhn". */
  name: string
  value: number
  /** How to write it. */
  unit: 'percent' | 'nats' | 'none'
  on: MeasuredOn
}

export type Pictures = Readonly<Record<string, Uint8Array>>

/** Rows of text: the first cell of each row says what it is. The caption says on what the numbers were measured. */
export interface ResultTable {
  caption: string
  head: readonly string[]
  rows: readonly (readonly Cell[])[]
}

/** Text, or a value with how far it can be trusted. */
export type Cell = string | { value: string; spread: string }

/** A cell on one line. */
export function cellText(cell: Cell): string {
  return typeof cell === 'string' ? cell : `${cell.value} (${cell.spread})`
}

/** What a number was measured on. It stands beside every number of eval.json. */
export interface MeasuredOn {
  data: string
  /** `sampled`: images that the run drew, of the data's kind. */
  split: 'train' | 'validation' | 'test' | 'sampled'
  images: number
  /** Standard deviation of the Gaussian noise on the images in [-1, 1]; 0: none. */
  sigma: number
  /** Of that noise and of every choice at random. */
  seed: number
}

/** A trained run that is being judged. */
export interface Candidate {
  /** How tables call it. */
  name: string
  run: LoadedRun
  /** What it says of whole data sets, each computed once. */
  scores: ScoreCache
}

export type ShowProgress = <R>(
  label: string,
  total: number,
  work: (update: (done: number) => void) => Promise<R>,
) => Promise<R>

export interface SuiteContext {
  candidate: Candidate
  /** A second run to put beside it, as a rule a plain classifier. Judged on the same images under the same noise. */
  baseline?: Candidate
  /** The test images. */
  test: Dataset
  /** The whole training set of the judged run, its validation part included. Throws DataError where it is gone or is not
   *  what the run was trained on. */
  training(): Dataset
  /** The images that this run held out of its training. Throws DataError where there are none or `training` does. */
  validation(run: LoadedRun): Dataset
  /** As in `MeasuredOn`. */
  sigma: number
  seed: number
  signal: AbortSignal
  /** Shows how far a piece of work has come while `work` runs; call `update` with the units done. */
  progress: ShowProgress
}

/** The candidate and, where there is one, the baseline. */
export function candidatesOf({ candidate, baseline }: SuiteContext): Candidate[] {
  return baseline ? [candidate, baseline] : [candidate]
}

/** Provenance of numbers measured on a whole set. */
export function measuredOn(
  { sigma, seed }: SuiteContext,
  { name, split, count }: Pick<Dataset, 'name' | 'split' | 'count'>,
): MeasuredOn {
  return { data: name, split, images: count, sigma, seed }
}

/** "mnist, 2,000 test images, noise of standard deviation 0.1, seed 1" */
export function describeMeasured({ data, split, images, sigma, seed }: MeasuredOn): string {
  const noise = sigma > 0 ? `noise of standard deviation ${sigma}` : 'no noise'
  return `${data}, ${images.toLocaleString('en-US')} ${split} images, ${noise}, seed ${seed}`
}
