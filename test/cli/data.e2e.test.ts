import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { loadDataset } from '../../src/data/catalog.ts'
import { SOURCES } from '../../src/data/sources.ts'
import { encodePng } from '../../src/io/png.ts'
import { readCheckpoint } from '../../src/jem/checkpoint.ts'
import { idx } from '../data/make-files.ts'
import { type Behaviour, fileServer } from '../io/file-server.ts'
import { temporaryFolder } from '../io/temporary-folder.ts'
import { langevin } from './collect.ts'
import { snapshot, tinyRun, writeBars } from './small-run.ts'

/** MNIST of three images a split, as it would be published. */
const pixels = Uint8Array.from({ length: 3 * 28 * 28 }, (_, i) => (i * 13) % 256)
const files: Record<string, Uint8Array> = Object.fromEntries(
  ['train', 't10k'].flatMap((split) => [
    [`${split}-images-idx3-ubyte.gz`, gzipSync(idx([3, 28, 28], pixels))],
    [`${split}-labels-idx1-ubyte.gz`, gzipSync(idx([3], [7, 8, 9]))],
  ]),
)

let folder: string
beforeEach(() => {
  folder = temporaryFolder()
  vi.stubEnv('LANGEVIN_DATA', folder)
  const published = SOURCES.mnist.downloads.map((file) => {
    const bytes = files[file.name]
    const sum = `md5:${createHash('md5').update(bytes).digest('hex')}` as const
    return { ...file, bytes: bytes.length, sum, urls: ['http://127.0.0.1:9/no-network-in-tests'] }
  })
  vi.spyOn(SOURCES.mnist, 'downloads', 'get').mockReturnValue(published)
})
afterEach(() => void vi.unstubAllEnvs())
afterEach(() => void vi.restoreAllMocks())

const mirror = async (behaviour?: Behaviour) => (await fileServer(files, behaviour)).url

describe('langevin data', () => {
  it('list tells what there is, where, and how to get more', async () => {
    const before = await langevin('data list')
    expect(before).toMatchObject({ code: 0, stderr: '' })
    for (const name of Object.keys(SOURCES)) expect(before.stdout).toMatch(new RegExp(`^${name} `, 'm'))
    expect(before.stdout).toMatch(/^mnist .* 60,000 +10,000 .*train bundled, test bundled$/m)
    expect(before.stdout).toMatch(/^svhn .*train nowhere, test nowhere$/m)
    expect(before.stdout).toContain(`installed: in ${folder}`)
    expect(before.stdout).toContain('for --ood: interpolation, uniform, gaussian, constant, shuffled')
    expect(readdirSync(folder)).toEqual([])
  })

  it('get installs what --data then finds; check finds it whole', async () => {
    const url = await mirror()
    const got = await langevin(`data get mnist --mirror ${url}`)
    expect(got).toMatchObject({ code: 0 })
    expect(got.stdout).toContain(`mnist: installed in ${join(folder, 'mnist')}\nterms: `)
    expect(got.stderr).toMatch(/^get mnist {2}[\d.]+k?\/[\d.]+k?B/)
    expect(loadDataset('mnist')).toMatchObject({ count: 3, classes: 10 })
    expect((await langevin('data list')).stdout).toMatch(/^mnist .*train installed, test installed$/m)
    expect((await langevin('data check')).stdout).toBe(`mnist: 4 files in ${join(folder, 'mnist')} are as published\n`)
    const again = await langevin('data get mnist --mirror http://127.0.0.1:9')
    expect(again).toMatchObject({ code: 0, stderr: '' })
    expect(again.stdout).toContain('mnist: is already, whole and right,')
  })

  it('check names a changed and a missing file, and fails', async () => {
    await langevin(`data get mnist --mirror ${await mirror()}`)
    const name = 'train-images-idx3-ubyte.gz'
    writeFileSync(join(folder, 'mnist', name), files[name].with(30, files[name][30] ^ 1))
    const { code, stdout } = await langevin('data check mnist')
    expect(code).toBe(1)
    expect(stdout).toMatch(
      /1 of 4 files in .* are not as published\n {2}train-images.*: wrong, expected MD5 \w+, got MD5 \w+\n/,
    )
    const missing = await langevin('data check cifar10')
    expect(missing.code).toBe(1)
    expect(missing.stdout).toContain('data_batch_3.bin: missing')
    expect(missing.stdout).toContain('langevin data get cifar10')
  })

  it('check with nothing installed says so', async () => {
    expect(await langevin('data check')).toMatchObject({ code: 0, stdout: `no data set is installed in ${folder}\n` })
  })

  it('Ctrl-C leaves a part, and the same command goes on from there', async () => {
    const first = 'train-images-idx3-ubyte.gz'
    const part = join(folder, 'downloads', 'mnist', `${first}.part`)
    const controller = new AbortController()
    const asked: (string | undefined)[] = []
    const url = await mirror((request, response, nth) => {
      asked.push(request.headers.range)
      if (nth > 0) return false
      response.writeHead(200, { 'content-length': files[first].length }).write(files[first].subarray(0, 60))
      const arrived = setInterval(() => {
        if (statSync(part, { throwIfNoEntry: false })?.size !== 60) return
        clearInterval(arrived)
        controller.abort()
      }, 10)
      return true
    })
    const stopped = await langevin(`data get mnist --mirror ${url}`, { signal: controller.signal })
    expect(stopped).toMatchObject({ code: 130, stdout: '' })
    expect(stopped.stderr).toContain(
      `what has come is in ${join(folder, 'downloads', 'mnist')}; the same command goes on`,
    )
    expect(existsSync(join(folder, 'mnist'))).toBe(false)
    expect((await langevin(`data get mnist --mirror ${url}`)).code).toBe(0)
    expect(asked[1]).toBe('bytes=60-')
    expect(readFileSync(join(folder, 'mnist', first)).equals(files[first])).toBe(true)
  })

  it.each([
    ['data get mnsit', "unknown data set 'mnsit': did you mean 'mnist'?", undefined],
    ['data check mnsit', "unknown data set 'mnsit': did you mean 'mnist'?", undefined],
    [
      'data get mnist',
      'cannot download train-images-idx3-ubyte.gz: http://127.0.0.1:9/no-network-in-tests: the server refuses',
      'in another way and put it at',
    ],
    [
      'data get mnist --mirror nowhere',
      'nowhere/train-images-idx3-ubyte.gz is not an http or https address',
      undefined,
    ],
    ['data gte mnist', "unknown command 'gte'", undefined],
    [
      'train --data svhn --out x',
      'svhn: the train split was not found: it is not part of this package',
      'langevin data get svhn installs it',
    ],
  ])('%s: one line, exit code 2', async (line, message, hint) => {
    const { code, stdout, stderr } = await langevin(line)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    const [first, second] = stderr.split('\n')
    expect(first).toContain(message)
    if (hint) expect(second).toContain(hint)
    expect(existsSync(join(folder, 'mnist'))).toBe(false)
  })
})

/** PNG files of 16×16 RGB pixels in folders of two classes. */
function pictures(root: string): string {
  for (let n = 0; n < 24; n++) {
    const path = join(root, n % 2 === 0 ? 'dark' : 'light')
    mkdirSync(path, { recursive: true })
    const values = Uint8Array.from({ length: 16 * 16 * 3 }, (_, i) => (n % 2) * 128 + ((i * 7 + n) % 100))
    writeFileSync(join(path, `${n}.png`), encodePng(values, 16, 16, 3))
  }
  return root
}

describe('training on converted images', () => {
  it('a folder of PNG files, resized and grey; resume makes the same of them', async () => {
    const data = pictures(join(folder, 'pictures'))
    const out = join(folder, 'run')
    const trained = await langevin(`train --data ${data} --out ${out} ${tinyRun} --resize 12 --channels 1`)
    expect(trained.code, trained.stderr).toBe(0)
    const { meta } = readCheckpoint(out)
    expect(meta.data).toMatchObject({ height: 12, width: 12, channels: 1, count: 24, classNames: ['dark', 'light'] })
    const resumed = await langevin(`train --resume --out ${out} --steps 8`)
    expect(resumed.code, resumed.stderr).toBe(0)
    expect(readCheckpoint(out).meta.data).toEqual(meta.data)
    const before = snapshot(out)
    const refused = await langevin(`train --resume --out ${out} --steps 10 --resize 16`)
    expect(refused).toMatchObject({ code: 2, stdout: '' })
    expect(refused.stderr).toContain('--resize 16 does not fit this run, whose images are 12×12×1')
    expect(snapshot(out)).toEqual(before)
  })

  it('eval converts the run’s test part as its training part was, and others only if asked', async () => {
    const data = join(folder, 'pictures')
    for (const split of ['train', 'test']) pictures(join(data, split))
    const [out, other] = [join(folder, 'run'), pictures(join(folder, 'other'))]
    const trained = await langevin(`train --data ${data} --out ${out} ${tinyRun} --resize 12 --channels 1`)
    expect(trained.code, trained.stderr).toBe(0)
    const judge = (flags: string) => langevin(`eval --run ${out} --threads 1 --json - ${flags}`)
    const refused = await judge(`--ood ${other}`)
    expect(refused).toMatchObject({ code: 2, stdout: '' })
    expect(refused.stderr).toBe(
      'langevin: other: images must be 12×12×1, as those of pictures, got 16×16×3\n' +
        '  hint: convert them with --resize 12 --channels 1; scores then tell the conversion, too\n',
    )
    const judged = await judge(`--ood ${other},interpolation,shuffled --resize 12 --channels 1`)
    expect(judged.code, judged.stderr).toBe(0)
    const { ood } = JSON.parse(judged.stdout).suites
    expect(ood.sets.map(({ on }: { on: { data: string } }) => on.data)).toEqual(['other', 'interpolation', 'shuffled'])
  })

  it('eval of a converted run converts the usual counterparts, too', async () => {
    const out = join(folder, 'run')
    const settings = `${tinyRun} --buffer-size 20 --steps 1 --resize 12 --channels 3`
    const trained = await langevin(`train --data mnist --out ${out} ${settings}`)
    expect(trained.code, trained.stderr).toBe(0)
    const judged = await langevin(`eval --run ${out} --suite ood --images 20 --resamples 0 --threads 1 --json -`)
    expect(judged.code, judged.stderr).toBe(0)
    const { sets } = JSON.parse(judged.stdout).suites.ood
    expect(sets.map(({ on }: { on: { data: string } }) => on.data)).toContain('fashion-mnist')
  })

  it('a run on the bundled subset keeps it when the official files are installed', async () => {
    const out = join(folder, 'run')
    const settings = `${tinyRun} --buffer-size 20 --steps 1`
    const trained = await langevin(`train --data mnist --out ${out} ${settings}`)
    expect(trained.code, trained.stderr).toBe(0)
    expect((await langevin(`data get mnist --mirror ${await mirror()}`)).code).toBe(0)
    const resumed = await langevin(`train --resume --out ${out} --steps 2`)
    expect(resumed.code, resumed.stderr).toBe(0)
    expect(readCheckpoint(out).meta.data).toMatchObject({ source: 'bundled:mnist', name: 'mnist', count: 10_000 })
  })

  it.each([
    ['--resize 4', 'takes images of at least 8×8 pixels, train-images-idx3-ubyte has 4×4'],
    ['--resize 0', '--resize must be a whole number >= 1 and <= 4096'],
    ['--channels 2', '--channels must be one of 1, 3'],
  ])('%s is refused, and no run is begun', async (flags, message) => {
    const data = writeBars(folder)
    const out = join(folder, 'run')
    const { code, stderr } = await langevin(`train --data ${data} --out ${out} ${tinyRun} ${flags}`)
    expect(code).toBe(2)
    expect(stderr).toContain(message)
    expect(existsSync(out)).toBe(false)
  })
})
