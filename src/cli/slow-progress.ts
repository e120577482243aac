import type { ShowProgress } from '../eval/suites/suite.ts'
import type { Output } from './context.ts'
import { createProgress, type Progress } from './progress.ts'

/** A progress line that appears only if the work takes longer than `afterSeconds`. */
export function slowProgress(
  options: { stream: Output; total: number; label: string },
  afterSeconds = 2,
): Pick<Progress, 'finish'> & { update(step: number, imageSteps?: number): void } {
  const started = performance.now()
  let progress: Progress | undefined
  return {
    update(step, imageSteps) {
      if (!progress && performance.now() - started < afterSeconds * 1000) return
      progress ??= createProgress(options)
      progress.update({ step, imageSteps })
    },
    finish() {
      progress?.finish()
    },
  }
}

/** Shows pieces of work as `slowProgress` does, one after another. */
export function showProgress(stream: Output): ShowProgress {
  return (label, total, work) => {
    const progress = slowProgress({ stream, total, label })
    return work(progress.update).finally(progress.finish)
  }
}
