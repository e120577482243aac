export interface ScheduleOptions {
  lr: number
  /** Iterations of linear warm-up from 0; ≤ 0: none. */
  warmupSteps: number
  schedule: 'step' | 'cosine'
  /** Epochs at whose start lr is multiplied by `decayRate` (step). */
  decayEpochs: readonly number[]
  decayRate: number
  /** Length of the run (cosine). */
  totalSteps: number
}

/**
 * The learning rate of iteration `step` (from 0) in epoch `epoch` (from 0), as the released code sets it: while
 * step ≤ warmupSteps, lr·step/warmupSteps, so that iteration 0 has lr 0; then lr·decayRate^(decay epochs begun).
 * `cosine`: after the warm-up, lr·(1 + cos π·progress)/2.
 */
export function learningRate(step: number, epoch: number, options: ScheduleOptions): number {
  const { lr, warmupSteps, schedule, decayEpochs, decayRate, totalSteps } = options
  if (warmupSteps > 0 && step <= warmupSteps) return (lr * step) / warmupSteps
  if (schedule === 'cosine') {
    const start = Math.max(0, warmupSteps)
    const progress = Math.min(1, (step - start) / Math.max(1, totalSteps - start))
    return (lr * (1 + Math.cos(Math.PI * progress))) / 2
  }
  return lr * decayRate ** decayEpochs.filter((e) => epoch >= e).length
}
