import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { recipeConfig, recipeNames } from '../../src/jem/recipes/index.ts'
import { temporaryFolder } from '../io/temporary-folder.ts'
import { langevin } from './collect.ts'
import { tinyRun, writeBars } from './small-run.ts'

describe('train --recipe', { timeout: 60_000 }, () => {
  it.each(recipeNames.map((name) => [name]))('%s: trains by it, tells it, and keeps it for resuming', async (name) => {
    const folder = temporaryFolder()
    const out = join(folder, 'run')
    // --buffer-size would make the classifier keep a buffer after all.
    const size = name === 'classifier' ? tinyRun.replace('--buffer-size 16', '') : tinyRun
    const small = `${size} --labelled-batch 4`.split(/ +/)
    const train = (...more: string[]) => langevin(['train', '--out', out, ...more])
    const first = await train('--data', writeBars(folder), '--recipe', name, ...small)
    expect(first.code, first.stderr).toBe(0)
    expect(first.stderr).toContain(`recipe ${name}: `)
    expect(first.stderr).toContain('changed: model wrn-10-1, ')

    const { config } = JSON.parse(readFileSync(join(out, 'config.json'), 'utf8'))
    const { model, steps, sgldSteps, batch, checkpointEvery, validationSize, threads, bufferSize, labelledBatch } =
      config
    const changed = {
      model,
      steps,
      sgldSteps,
      batch,
      checkpointEvery,
      validationSize,
      threads,
      bufferSize,
      labelledBatch,
    }
    expect({ model, steps, sgldSteps }).toEqual({ model: 'wrn-10-1', steps: 6, sgldSteps: 2 })
    expect(config).toEqual(recipeConfig(name, changed))

    const resumed = await train('--resume', '--steps', '8')
    expect(resumed.code, resumed.stderr).toBe(0)
    expect(resumed.stderr).toContain(`recipe ${name}: `)
    const other = await train('--resume', '--recipe', name === 'jem' ? 'jem++' : 'jem')
    expect(other).toMatchObject({ code: 2, stderr: expect.stringContaining(`--recipe is "${name}" in this run`) })
  })
})
