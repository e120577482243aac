// What the evidence runs found, as one document: settings, every number by run, curves, and what the samples suite says.
import { suiteNames } from '../../dist/cli/commands/eval.js'
import { readRunRecord } from '../../dist/eval/compare.js'
import { describeMachine } from '../machine.mjs'

/** `runs`: { data, recipe, seed, folder } of what bench/evidence.mjs has trained, of so many that are planned. */
export function recordOf(runs, planned, settings) {
  return { what: 'evidence', ...describeMachine(), settings, planned, runs: runs.map(recordOfRun) }
}

function recordOfRun({ data, recipe, seed, folder }) {
  const record = readRunRecord(folder)
  // A run that gave up was not judged.
  const { suites = {}, numbers = {} } = record.evaluation ?? {}
  const { accuracy, robustness, samples } = suites
  return {
    ...{ data, recipe, seed, steps: record.step, trainingImages: record.data.count },
    ...{ rollbacks: record.rollbacks, gaveUp: record.gaveUp },
    on: { test: accuracy?.on, attacked: robustness?.on },
    numbers: suiteNames.flatMap((name) => numbers[name] ?? []).map(({ name, value, unit }) => ({ name, value, unit })),
    curves: robustness?.curves ?? [],
    masking: (robustness?.masking ?? []).flatMap(({ checks }) => checks),
    samples: samples?.recognised && {
      sampler: samples.sampler,
      recognised: samples.recognised,
      longChains: { ...samples.longChains, trace: undefined, last: samples.longChains.trace.at(-1) },
      neighbours: samples.neighbours.sets,
    },
  }
}
