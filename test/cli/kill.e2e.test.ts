import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { temporaryFolder } from '../io/temporary-folder.ts'
import { finalState } from '../jem/tiny.ts'
import { builtCli } from './built.ts'
import { writeBars } from './small-run.ts'

const settings = ['--model', 'wrn-10-1', '--steps', '150', '--sgld-steps', '1', '--batch', '4', '--buffer-size', '16']
const more = [
  '--checkpoint-every',
  '2',
  '--validation-size',
  '8',
  '--eval-every',
  '7',
  '--threads',
  '1',
  '--ema',
  '0.9',
]

const pause = (ms: number) => new Promise((resume) => setTimeout(resume, ms))

/** Starts `langevin train`; `ended` has the exit code or the signal. */
function start(argv: string[]) {
  const child = spawn(process.execPath, [builtCli(), 'train', ...argv], { stdio: ['ignore', 'ignore', 'pipe'] })
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text
  })
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal, stderr: () => stderr }))
  return { child, ended }
}

const written = (path: string) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0

describe('a process that is killed', { timeout: 300_000 }, () => {
  it('with kill -9 at any moment, again and again, resumes to the bits of one that was not', async () => {
    const folder = temporaryFolder()
    const data = writeBars(folder, 60, { size: 8 })
    const [whole, parts] = [join(folder, 'whole'), join(folder, 'parts')]
    const argv = ['--data', data, '--crop-padding', '1', ...settings, ...more]
    expect(await start(['--out', whole, ...argv]).ended).toMatchObject({ code: 0 })

    const moments: string[] = []
    let kills = 0
    // Half of the rounds are killed before their first checkpoint, so that not all of them make progress.
    for (let finished = false; !finished; ) {
      const begun = existsSync(join(parts, 'config.json'))
      const checkpoint = join(parts, 'checkpoint.safetensors')
      const before = written(checkpoint)
      const { child, ended } = start(begun ? ['--out', parts, '--resume'] : ['--out', parts, ...argv])
      let over = false
      void ended.then(() => {
        over = true
      })
      const early = kills % 2 === 0
      const sign = () => (early ? existsSync(join(parts, '.lock')) : written(checkpoint) > before)
      while (!over && !sign()) await pause(1)
      const wait = Math.random() * (early ? 60 : 250)
      await pause(wait)
      if (kills < 8) child.kill('SIGKILL')
      const { code, signal, stderr } = await ended
      moments.push(`${early ? 'lock' : 'checkpoint'} + ${wait.toFixed(1)} ms: ${signal ?? code}`)
      if (signal === 'SIGKILL') kills++
      else {
        expect(code, `${moments.join('\n')}\n${stderr()}`).toBe(0)
        finished = true
      }
    }
    expect(kills).toBeGreaterThan(0)
    expect(finalState(parts), moments.join('\n')).toEqual(finalState(whole))
  })

  it('with Ctrl-C saves, says how to go on, and leaves with 130', async () => {
    const folder = temporaryFolder()
    const data = writeBars(folder, 60, { size: 8 })
    const out = join(folder, 'run')
    const { child, ended } = start(['--data', data, '--crop-padding', '1', '--out', out, ...settings, ...more])
    while (!existsSync(join(out, 'checkpoint.safetensors'))) await pause(1)
    child.kill('SIGINT')
    const { code, stderr } = await ended
    expect(code).toBe(130)
    expect(stderr()).toMatch(
      /stopping in good order[\s\S]*stopped at step \d+, saved; continue with: langevin train --resume/,
    )
  })
})
