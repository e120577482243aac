import { Tensor } from '../src/tensor/tensor.ts'

/** What can be compared element by element. */
export type Close = Tensor | ArrayLike<number> | { shape: readonly number[]; data: ArrayLike<number> }

const shown = 5

/** The first elements where two arrays differ by more than atol + rtol·|expected|, in words; undefined: none. */
export function explainDifference(
  received: Close,
  expected: Close,
  { rtol, atol }: { rtol: number; atol: number },
): string | undefined {
  const [a, aShape] = valuesOf(received)
  const [b, bShape] = valuesOf(expected)
  if (aShape && bShape && aShape.join() !== bShape.join())
    return `shape [${aShape.join(', ')}] where [${bShape.join(', ')}] is expected`
  if (a.length !== b.length) return `${a.length} values where ${b.length} are expected`
  const wrong: string[] = []
  let count = 0
  for (let i = 0; i < a.length; i++) {
    if (isClose(a[i], b[i], rtol, atol)) continue
    if (count++ < shown) wrong.push(`  [${i}] ${a[i]}, expected ${b[i]} (off by ${Math.abs(a[i] - b[i])})`)
  }
  if (count === 0) return undefined
  return `${count} of ${a.length} values are off by more than ${atol} + ${rtol}·|expected|:\n${wrong.join('\n')}`
}

function isClose(a: number, b: number, rtol: number, atol: number): boolean {
  if (Number.isNaN(b)) return Number.isNaN(a)
  if (!Number.isFinite(b)) return a === b
  return Math.abs(a - b) <= atol + rtol * Math.abs(b)
}

function valuesOf(x: Close): [ArrayLike<number>, readonly number[] | undefined] {
  if (x instanceof Tensor) return [x.dataSync(), x.shape]
  if ('data' in x) return [x.data, x.shape]
  return [x, undefined]
}
