import { add, greater, mul, sub, where } from '../../ops/arithmetic.ts'
import { reshape } from '../../ops/shape.ts'
import { affine } from '../../ops/unary.ts'
import { tensor } from '../../tensor/create.ts'
import { keep, scope } from '../../tensor/scope.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import { type Attack, type AttackTarget, Search } from './attack.ts'
import type { Ball, Values } from './ball.ts'
import { slope } from './evaluate.ts'
import { type AttackLoss, crossEntropyLogOdds, differenceOfLogitsRatio } from './losses.ts'
import { expectCount } from './pgd.ts'

export interface ApgdOptions {
  /** What to maximise: cross-entropy (APGD-CE) or the difference of logits ratio (APGD-DLR, 3 classes or more). */
  loss: 'ce' | 'dlr'
  /** N of the paper; default 100. */
  steps?: number
  /** Attempts an image, each from a random point of the ball; default 1. */
  restarts?: number
}

const losses: Record<ApgdOptions['loss'], AttackLoss> = { ce: crossEntropyLogOdds, dlr: differenceOfLogitsRatio }

/** Of Croce & Hein 2020 (arXiv 2003.01690), §3: how much of a step is the new direction, and the share of steps that must
 *  raise the loss for the step size to stay. */
const momentum = 0.75
const rho = 0.75

/**
 * The steps after which step sizes are looked at: w_j = ⌈p_j·N⌉, p₀ = 0, p₁ = 0.22, p_{j+1} = p_j + max(p_j − p_{j−1} −
 * 0.03, 0.06), those up to N (there, §3.1). For N = 100: 22, 41, 57, 70, 80, 87, 93, 99.
 */
export function apgdCheckpoints(steps: number): number[] {
  const checkpoints: number[] = []
  // In hundredths, which are exact.
  for (let [before, p] = [0, 22]; p <= 100; [before, p] = [p, p + Math.max(p - before - 3, 6)]) {
    checkpoints.push(Math.ceil((p * steps) / 100))
  }
  return checkpoints
}

/**
 * Auto-PGD (Croce & Hein 2020, arXiv 2003.01690, algorithm 1): projected gradient steps with momentum that start at 2ε
 * and halve, image by image, where progress stalls at a checkpoint; the search goes on from the image of the largest loss
 * then. As in the authors' code, that takes the place of the next step's start, not of its result. Gives the iterate
 * of the largest margin. Throws ConfigError for settings out of range, and for 'dlr' with fewer than 3 classes.
 */
export function apgd({ loss, steps = 100, restarts = 1 }: ApgdOptions): Attack {
  expectCount('steps', steps)
  expectCount('restarts', restarts)
  return async (target) => {
    using search = await Search.open(target)
    for (let attempt = 0; attempt < restarts; attempt++) {
      if (await climb(search, target, losses[loss], steps)) break
    }
    return search.result()
  }
}

/** Where a climb stands: images, with loss and gradient, now; images before; and those of the largest loss. */
type State = Record<'x' | 'previous' | 'gradient' | 'loss' | 'best' | 'bestGradient' | 'bestLoss', Tensor>

/** One attempt. Tells whether every image is misclassified. */
async function climb(search: Search, target: AttackTarget, loss: AttackLoss, steps: number): Promise<boolean> {
  const { ball, labels, draws } = search
  const { device, dtype } = target.images
  const look = (x: Tensor) => {
    const { margin, ...found } = slope(target.classifier, x, labels, loss, draws)
    search.offer(x, margin)
    return found
  }
  let state: State | undefined
  const become = (next: (state: State) => State) => {
    const before = state
    state = scope(() => next(before!))
    for (const tensor of Object.values(state)) keep(tensor)
    for (const tensor of Object.values(before ?? {})) if (!Object.values(state).includes(tensor)) tensor.dispose()
    return state
  }
  try {
    become(() => {
      const x = ball.randomPoint(target.generator)
      const { loss, gradient } = look(x)
      return { x, previous: x, gradient, loss, best: x, bestGradient: gradient, bestLoss: loss }
    })
    const schedule = new StepSizes(steps, (await state!.loss.data()) as Values)
    for (let step = 0; step < steps && !(await search.succeeded()); step++) {
      become((now) => {
        const size = tensor(Array.from(schedule.sizes), { shape: ball.radius.shape, device, dtype })
        const x = moved(ball, now, size, step === 0 ? 1 : momentum)
        const { loss, gradient } = look(x)
        return { ...now, x, previous: now.x, loss, gradient, ...better({ x, loss, gradient }, now) }
      })
      const stalled = schedule.record((await state!.loss.data()) as Values)
      if (stalled) become((now) => restarted(now, tensor(stalled, { shape: ball.radius.shape, device })))
    }
    return await search.succeeded()
  } finally {
    for (const tensor of Object.values(state ?? {})) tensor.dispose()
  }
}

/** x + a·(P(x + size·ε·d) − x) + (1 − a)·(x − previous), projected: lines 7 and 8 of algorithm 1. */
function moved(ball: Ball, { x, previous, gradient }: State, size: Tensor, a: number): Tensor {
  const z = ball.project(add(x, mul(ball.steepest(gradient), mul(size, ball.radius))))
  return ball.project(add(x, add(affine(sub(z, x), a, 0), affine(sub(x, previous), 1 - a, 0))))
}

/** The best so far where `found` is not better. */
function better(found: Pick<State, 'x' | 'loss' | 'gradient'>, { best, bestLoss, bestGradient }: State) {
  const wins = greater(found.loss, bestLoss)
  const images = reshape(wins, [wins.size, 1, 1, 1])
  return {
    best: where(images, found.x, best),
    bestGradient: where(images, found.gradient, bestGradient),
    bestLoss: where(wins, found.loss, bestLoss),
  }
}

/** Where `stalled`, the image of the largest loss in place of the present one, which becomes the previous one. */
function restarted(now: State, stalled: Tensor): State {
  return {
    ...now,
    x: where(stalled, now.best, now.x),
    previous: where(stalled, now.x, now.previous),
    gradient: where(stalled, now.bestGradient, now.gradient),
  }
}

/** The step size of each image, in units of ε, as algorithm 1 sets it by the losses alone. */
export class StepSizes {
  readonly sizes: Float64Array
  private readonly checkpoints: readonly number[]
  private step = 0
  private sinceCheckpoint = 0
  /** Steps since the last checkpoint that raised the loss. */
  private readonly raised: Int32Array
  private readonly loss: Float64Array
  private readonly best: Float64Array
  private bestAtCheckpoint: Float64Array
  private halvedAtCheckpoint: Uint8Array

  /** `losses`: [batch], at the start. */
  constructor(steps: number, losses: ArrayLike<number>) {
    const batch = losses.length
    this.checkpoints = apgdCheckpoints(steps)
    this.sizes = new Float64Array(batch).fill(2)
    this.raised = new Int32Array(batch)
    this.loss = Float64Array.from(losses)
    this.best = Float64Array.from(losses)
    this.bestAtCheckpoint = Float64Array.from(losses)
    this.halvedAtCheckpoint = new Uint8Array(batch)
  }

  /** Takes the losses after a step. At a checkpoint: 1 for each image whose size was halved, and which must go on from
   *  its best. */
  record(losses: ArrayLike<number>): Uint8Array | undefined {
    this.step++
    this.sinceCheckpoint++
    for (let i = 0; i < losses.length; i++) {
      if (losses[i] > this.loss[i]) this.raised[i]++
      this.loss[i] = losses[i]
      this.best[i] = Math.max(this.best[i], losses[i])
    }
    if (!this.checkpoints.includes(this.step)) return undefined
    const halved = this.raised.map((count, i) => {
      const oscillates = count < rho * this.sinceCheckpoint // condition 1
      const stands = !this.halvedAtCheckpoint[i] && this.bestAtCheckpoint[i] === this.best[i] // condition 2
      return oscillates || stands ? 1 : 0
    })
    for (const [i, half] of halved.entries()) {
      if (!half) continue
      this.sizes[i] /= 2
      this.loss[i] = this.best[i]
    }
    this.halvedAtCheckpoint = Uint8Array.from(halved)
    this.bestAtCheckpoint = this.best.slice()
    this.raised.fill(0)
    this.sinceCheckpoint = 0
    return this.halvedAtCheckpoint
  }
}
