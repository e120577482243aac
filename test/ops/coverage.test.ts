import { readdirSync } from 'node:fs'
import { expect, test } from 'vitest'
import { grad } from '../../src/autograd/backward.ts'
import { binaryKinds, compareKinds, reduceKinds, signatures, unaryKinds } from '../../src/native/contract.ts'
import { nativeDevice } from '../../src/native/device.ts'
import { tensor } from '../../src/tensor/create.ts'
import { scope } from '../../src/tensor/scope.ts'
import { notOps, rows } from '../ops.ts'
import { inputsOf, list } from './drive.ts'
import { kinds } from './kinds.ts'
import { values } from './samples.ts'

/** Modules of src/ops that hold no op: argument checks, layouts, and the precision of products. */
const notOpFiles = ['check.ts', 'layout.ts', 'precision.ts']

test('an op that is exported is in the op table', async () => {
  const folder = new URL('../../src/ops/', import.meta.url)
  const files = readdirSync(folder).filter((file) => !notOpFiles.includes(file))
  const modules: Record<string, unknown>[] = await Promise.all(files.map((file) => import(new URL(file, folder).href)))
  const exported = modules
    .flatMap((module) => Object.keys(module).filter((name) => typeof module[name] === 'function'))
    .filter((name) => !notOps.has(name))
  expect(exported.length).toBeGreaterThan(60)
  expect([...new Set(rows.map((row) => row.op))].sort()).toEqual([...new Set(exported)].sort())
})

test('every native op, and every kind of the ops that have kinds, is run by the op table', () => {
  const { ops } = nativeDevice('cpu')
  const called = new Set<string>()
  const original = { ...ops }
  const kindsOf: Record<string, readonly string[]> = {
    unary: unaryKinds,
    unaryBackward: unaryKinds,
    binary: binaryKinds,
    compare: compareKinds,
    reduce: reduceKinds,
  }
  const table = ops as unknown as Record<string, (...a: unknown[]) => void>
  for (const [name, op] of Object.entries(original)) {
    table[name] = (...args: unknown[]) => {
      called.add(kindsOf[name] ? `${name} ${kindsOf[name][args[0] as number]}` : name)
      ;(op as (...a: unknown[]) => void)(...args)
    }
  }
  try {
    for (const row of rows) {
      for (const c of row.cases) {
        if (c.inputs.some((input) => input.values.length > 1000)) continue
        scope(() => {
          const inputs = inputsOf(c, c.dtypes[0], 'cpu', true)
          for (const y of list(c.run(...inputs))) {
            if (!y.requiresGrad || c.gradient === 'none') continue
            const seed = tensor(values(y.size), { shape: y.shape, dtype: y.dtype })
            grad(
              y,
              inputs.filter((x) => x.requiresGrad),
              seed,
            )
            break
          }
        })
      }
    }
    for (const { run } of kinds) run('cpu')
  } finally {
    Object.assign(ops, original)
  }
  const wanted = Object.keys(signatures).flatMap((name) => kindsOf[name]?.map((kind) => `${name} ${kind}`) ?? [name])
  // affine's gradient is affine again
  expect(wanted.filter((name) => !called.has(name) && name !== 'unaryBackward affine')).toEqual([])
})
