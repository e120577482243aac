// Runs before every test file: the matcher toBeAllclose, and a check after each test that it freed what it made.
import { afterEach, beforeEach, expect, type TestContext, TestRunner } from 'vitest'
import { openDevices } from '../src/native/device.ts'
import { liveTensors, setLeakDebug } from '../src/tensor/leaks.ts'
import { tensorCount } from '../src/tensor/tensor.ts'
import { type Close, explainDifference } from './allclose.ts'

declare module 'vitest' {
  // biome-ignore lint/suspicious/noExplicitAny: the parameter's name and default are vitest's
  interface Matchers<T = any> {
    /** |received − expected| ≤ atol + rtol·|expected| for every element; NaN equals NaN; shapes of tensors agree. */
    toBeAllclose(expected: Close, tolerance?: { rtol?: number; atol?: number }): T
  }
}

expect.extend({
  toBeAllclose(received: Close, expected: Close, { rtol = 1e-5, atol = 1e-8 } = {}) {
    const difference = explainDifference(received, expected, { rtol, atol })
    return { pass: difference === undefined, message: () => difference ?? 'expected the values to differ' }
  },
})

declare module 'vitest' {
  interface TaskMeta {
    /** The test loses tensors to see that told. */
    leaksOnPurpose?: boolean
  }
}

interface Held {
  tensors: number
  buffers: number
}

function held(): Held {
  return {
    tensors: tensorCount(),
    buffers: openDevices().reduce((n, device) => n + device.addon.memory().buffers, 0),
  }
}

let before: Held
beforeEach(() => {
  before = held()
})

afterEach(async (context) => {
  const after = held()
  if (after.tensors === before.tensors && after.buffers === before.buffers) return
  if (context.task.meta.leaksOnPurpose) return
  if (context.task.result?.state === 'fail') return // its own error says more
  throw new Error(
    `the test left ${after.tensors - before.tensors} tensors and ${after.buffers - before.buffers} buffers behind` +
      (await creationSites(context)),
  )
})

/** Runs the test once more with creation sites on, which is too slow to be always on. */
async function creationSites(context: TestContext): Promise<string> {
  setLeakDebug(true)
  try {
    await TestRunner.getTestFn(context.task)()
  } catch {
    return ''
  } finally {
    setLeakDebug(false)
  }
  return liveTensors()
    .map(({ shape, dtype, site }) => `\n[${shape.join(', ')}] ${dtype}, created\n${site}`)
    .join('')
}
