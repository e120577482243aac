import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, it, onTestFinished } from 'vitest'
import { lockFolder } from '../../src/io/lock.ts'
import { readSafetensors, writeSafetensors } from '../../src/io/safetensors.ts'
import { memory } from '../../src/tensor/memory.ts'
import { cifar, idx } from '../data/make-files.ts'
import { temporaryFolder } from '../io/temporary-folder.ts'
import { langevin } from './collect.ts'
import { snapshot, tinyRun, writeBars } from './small-run.ts'

/** Runs a command that must fail as bad input does: exit code 2, one line and perhaps a hint on stderr, nothing on stdout,
 *  and every file of `folder` as it was. */
async function refused(folder: string, argv: readonly string[]): Promise<string> {
  const before = snapshot(folder)
  const { code, stdout, stderr } = await langevin(argv)
  const lines = stderr.trimEnd().split('\n')
  expect({ code, stdout }, stderr).toEqual({ code: 2, stdout: '' })
  expect(lines.length, stderr).toBeLessThanOrEqual(2)
  expect(lines[0]).toMatch(/^langevin: /)
  if (lines.length === 2) expect(lines[1]).toMatch(/^ {2}hint: /)
  expect(snapshot(folder)).toEqual(before)
  return stderr
}

/** A folder with data, and `train` on it into a folder that must not appear. */
function training(images: (folder: string) => string = writeBars) {
  const folder = temporaryFolder()
  const data = images(folder)
  const out = join(folder, 'runs', 'new')
  return {
    folder,
    out,
    refused: (flags: string, source = data) =>
      refused(folder, [
        'train',
        '--data',
        source,
        '--out',
        out,
        ...tinyRun.split(' '),
        ...flags.split(' ').filter(Boolean),
      ]),
  }
}

describe('train refuses settings, and makes no folder', () => {
  it.each([
    ['--buffer-size 18', 'bufferSize must be a multiple of the 4 classes, got 18', '--buffer-size 20'],
    ['--validation-size 60', 'validationSize must be below the 60 images', ''],
    ['--batch 53', 'the batch must be at most the 52 training images, got 53', 'smaller batch'],
    ['--labels-per-class 0', 'the batch must be at most the 0 labelled images, got 4', ''],
    ['--crop-padding 12', 'cropPadding must be below the image size 12×12, got 12', ''],
    ['--sampling-mode train --dropout 0.5', 'dropout must be 0 where samplingMode is train, got 0.5', ''],
    ['--model wrn-12-1', 'model must be wrn-<depth>-<width>', 'did you mean wrn-10-1?'],
    ['--model resnet', 'model must be wrn-<depth>-<width>', 'for example wrn-28-10'],
    ['--device cuda', 'the cuda device is not built', '--device cpu'],
    ['--sgldsteps 3', "unknown option '--sgldsteps'", '--sgld-steps'],
    ['--recipe jem+++', 'recipe must be one of jem, jem++, sada-jem, m-jem, classifier, got "jem+++"', 'mean jem++?'],
    ['--recipe classifer', 'recipe must be one of', 'did you mean classifier?'],
    [
      '--chain-start class-gaussians --labels-per-class 1 --validation-size 58 --batch 1',
      'has no labelled training',
      'uniform',
    ],
    ['--px-weight 0 --pyx-weight 0', 'pxWeight, pyxWeight and pxyWeight are all 0', ''],
  ])('%s', async (flags, message, hint) => {
    const { refused } = training()
    const stderr = await refused(flags)
    expect(stderr).toContain(message)
    expect(stderr).toContain(hint)
  })

  it('an unknown key of a --config file, with the nearest name', async () => {
    const { folder, refused } = training()
    const path = join(folder, 'c.json')
    writeFileSync(path, '{"sgldStep": 3}')
    expect(await refused(`--config ${path}`)).toMatch(
      /unknown setting "sgldStep" in .*\n {2}hint: did you mean sgldSteps\?/,
    )
  })

  it('an unknown data set, with the nearest name', async () => {
    expect(await training().refused('', 'minst')).toContain("unknown data set 'minst': did you mean 'mnist'?")
  })
})

describe('train refuses data, and makes no folder', () => {
  const replaced = (part: 'images' | 'labels', change: (bytes: Buffer) => Buffer) => (folder: string) => {
    const images = writeBars(folder)
    const path = part === 'images' ? images : join(folder, 'train-labels-idx1-ubyte')
    writeFileSync(path, change(readFileSync(path)))
    return images
  }
  const idxFiles: [string, (folder: string) => string, string][] = [
    ['a truncated IDX file', replaced('images', (b) => b.subarray(0, -1)), 'is 8640 bytes of values, got 8639'],
    [
      'an over-long IDX file',
      replaced('images', (b) => Buffer.concat([b, b.subarray(0, 3)])),
      '8640 bytes of values, got 8643',
    ],
    [
      'a file that is not IDX',
      replaced('images', () => Buffer.from('hello, world')),
      'expected to begin with the bytes 0, 0, 8',
    ],
    ['a truncated gzip', replaced('images', (b) => gzipSync(b).subarray(0, 100)), 'gzip: unexpected end of file'],
    ['a corrupt gzip', replaced('labels', (b) => gzipSync(b).fill(0, 20, 30)), 'gzip: '],
    ['labels for other images', replaced('labels', () => idx([3], [0, 1, 2])), 'expected 60 labels, one for each of'],
    ['images of 6×6 pixels', (folder) => writeBars(folder, 60, { size: 6 }), 'takes images of at least 8×8 pixels'],
  ]
  it.each(idxFiles)('%s', async (_, images, message) => {
    expect(await training(images).refused('--crop-padding 1')).toContain(message)
  })

  it('labels out of range', async () => {
    const { folder, refused } = training(replaced('labels', (b) => Buffer.from(b).fill(10, 20, 21)))
    expect(await refused('', `mnist:${folder}`)).toContain('labels must be 0..9, got 10 at index 12')
  })

  it.each([
    ['truncated', cifar([[1], [2]]).subarray(0, -7), 'expected whole CIFAR-10 records of 3073 bytes'],
    ['with a label out of range', cifar([[1], [77]]), 'label must be 0..9, got 77 in record 1'],
  ])('a CIFAR file %s', async (_, bytes, message) => {
    const { folder, refused } = training()
    const path = join(folder, 'data_batch_1.bin')
    writeFileSync(path, bytes)
    expect(await refused('', `cifar10:${path}`)).toContain(message)
  })
})

/** A finished tiny run beside its data. */
async function finishedRun(): Promise<{ folder: string; data: string; run: string }> {
  const folder = temporaryFolder()
  const data = writeBars(folder)
  const run = join(folder, 'run')
  const { code, stderr } = await langevin(`train --data ${data} --out ${run} ${tinyRun}`)
  expect(code, stderr).toBe(0)
  return { folder, data, run }
}

describe('a run folder', () => {
  it('that exists, is in use, or holds no checkpoint is left as it is', async () => {
    const { folder, data, run } = await finishedRun()
    const train = ['train', '--data', data, '--out', run, ...tinyRun.split(' ')]
    expect(await refused(folder, train)).toMatch(/exists and is not empty\n {2}hint: .*--resume/)
    expect(await refused(folder, ['train', '--resume', '--out', join(folder, 'none')])).toContain('there is no run in')
    expect(await refused(folder, ['train', '--resume', '--out', run, '--sigma', '0.3'])).toContain(
      '--sigma is 0.03 in this run, and cannot become 0.3',
    )
    const lock = lockFolder(run)
    expect(await refused(folder, [...train, '--resume'])).toContain(`${run} is in use by this process`)
    expect(await refused(folder, train)).toContain(`${run} is in use by this process`)
    lock.release()

    const other = join(folder, 'other')
    mkdirSync(other)
    const otherData = writeBars(other, 64)
    expect(await refused(folder, ['train', '--resume', '--out', run, '--data', otherData])).toContain('is other data')

    const empty = join(folder, 'empty')
    mkdirSync(empty)
    const png = ['--out', join(folder, 'x.png')]
    expect(await refused(folder, ['sample', '--run', empty, ...png])).toContain(`no checkpoint in ${empty}`)
    expect(await refused(folder, ['eval', '--run', empty])).toContain(`no checkpoint in ${empty}`)
    expect(await refused(folder, ['eval', '--run', join(folder, 'nowhere')])).toContain('no such run folder')
    expect(await refused(folder, ['sample', '--run', run, ...png, '--class', '4'])).toContain(
      '--class must be 0..3, got 4',
    )
    expect(await refused(folder, ['sample', '--run', run, '--out', join(folder, 'no/x.png')])).toContain(
      'there is no folder',
    )
    expect(await refused(folder, ['eval', '--run', run])).toMatch(
      /was trained on .*train-images-idx3-ubyte, which has no test part\n {2}hint: .*--data/,
    )
    expect(await refused(folder, ['eval', '--run', run, '--data', 'mnist'])).toContain(
      'mnist: images must be 12×12×1, as those of train-images-idx3-ubyte, got 28×28×1',
    )
    const fits = ['eval', '--run', run, '--data', data, '--json', '-']
    expect(await refused(folder, [...fits, '--ood', 'fashion-mnist'])).toContain(
      'fashion-mnist: images must be 12×12×1',
    )
    expect(await refused(folder, [...fits, '--ood', 'cifar10'])).toContain('cifar10: the test split was not found')
    expect(await refused(folder, [...fits, '--suite', 'acuracy'])).toMatch(
      /unknown suite 'acuracy'.*\n {2}hint: did you mean accuracy\?/,
    )
    expect(await refused(folder, [...fits, '--out', join(data, 'x')])).toMatch(/cannot write to .*x: .*not a folder/)
    expect(await refused(folder, [...fits, '--images', '19'])).toMatch(/19 test images, fewer than the 20 bins/)
    expect(await refused(folder, [...fits, '--epsilons', '8,-1'])).toContain(
      '--epsilons must be a number >= 0, got "-1"',
    )
    expect(await refused(folder, [...fits, '--sigma', '-1'])).toContain('--sigma must be a number >= 0, got "-1"')
    expect(await refused(folder, [...fits, '--baseline', empty])).toContain(`no checkpoint in ${empty}`)
    writeFileSync(join(run, 'eval.json'), '{"version": 2}')
    expect(await refused(folder, ['compare', run])).toContain('eval.json has evaluation version 2')
    expect(await refused(folder, fits)).toMatch(/eval\.json has evaluation version 2; this program reads 1\n {2}hint: /)
    rmSync(join(run, 'eval.json'))
    writeFileSync(join(run, 'metrics.jsonl'), '{"step": 1}\n{"st\n')
    expect(await refused(folder, fits)).toContain('metrics.jsonl: line 2 is not JSON')
    expect(await refused(folder, ['compare', run, run])).toContain(`${run} is given twice`)
    writeFileSync(join(run, 'config.json'), '{')
    expect(await refused(folder, ['compare', run])).toContain('config.json is not JSON')
  })

  it('with a damaged checkpoint gives the one before, and says so; with two, an error', async () => {
    const { folder, run } = await finishedRun()
    const current = join(run, 'checkpoint.safetensors')
    const bytes = readFileSync(current)
    for (const damage of [
      () => truncateSync(current, bytes.length - 5),
      () => writeFileSync(current, Buffer.concat([bytes, Buffer.from('more')])),
      // Far behind the header: only the checksum can tell.
      () => writeFileSync(current, Buffer.from(bytes).fill(1, bytes.length - 40, bytes.length - 36)),
      () => writeFileSync(current, ''),
    ]) {
      damage()
      const { code, stderr } = await langevin(['sample', '--run', run, '--n', '2', '--out', join(folder, 'x.png')])
      expect(code, stderr).toBe(0)
      expect(stderr).toMatch(/^notice: .*checkpoint\.safetensors.* is used instead\n$/)
    }
    rmSync(join(folder, 'x.png'))
    writeFileSync(join(run, 'checkpoint.previous.safetensors'), 'x')
    writeFileSync(current, bytes)
    const { tensors, metadata } = readSafetensors(current)
    const newer = { ...metadata, langevin: metadata.langevin.replace(/"version":\d+/, '"version":99') }
    writeSafetensors(current, tensors, newer)
    for (const command of ['eval --run', 'compare']) {
      expect(await refused(folder, [...command.split(' '), run])).toContain(
        'checkpoint.safetensors has checkpoint version 99, written by a newer langevin; this program reads 1',
      )
    }
    writeFileSync(current, '')
    for (const command of [['eval'], ['sample', '--out', join(folder, 'x.png')], ['train', '--resume']]) {
      const flag = command[0] === 'train' ? '--out' : '--run'
      expect(await refused(folder, [...command, flag, run])).toContain(`no checkpoint in ${run} can be read`)
    }
  })

  it('whose metrics were cut off is not resumed', async () => {
    const { folder, run } = await finishedRun()
    truncateSync(join(run, 'metrics.jsonl'), 10)
    expect(await refused(folder, ['train', '--resume', '--out', run, '--steps', '8'])).toMatch(
      /metrics\.jsonl: expected at least \d+ bytes, got 10/,
    )
  })
})

describe('verify refuses', () => {
  it.each([
    ['a file that is not there', undefined, 'no such file'],
    ['an empty file', '', 'got 0'],
    ['a file of another format', 'this is no safetensors file at all', ''],
    ['safetensors that are no golden vectors', emptySafetensors(), 'the file has no x'],
  ])('%s', async (_, content, message) => {
    const folder = temporaryFolder()
    const path = join(folder, 'golden.safetensors')
    if (content !== undefined) writeFileSync(path, content)
    expect(await refused(folder, ['verify', path])).toContain(message)
  })

  it('cuda with f64, and cuda without one', async () => {
    const folder = temporaryFolder()
    expect(await refused(folder, ['verify', 'x', '--device', 'cuda', '--dtype', 'f64'])).toContain('--dtype f64')
    expect(await refused(folder, ['verify', 'x', '--device', 'cuda'])).toContain('the cuda device is not built')
  })
})

function emptySafetensors(): Buffer {
  const header = Buffer.from('{"__metadata__":{"depth":"10"}}')
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  return Buffer.concat([length, header])
}

describe('too little room', () => {
  it('of memory: a typed error, no folder, nothing left allocated', async () => {
    const { refused } = training()
    const before = memory()
    const stderr = await refused('--buffer-size 40000000000')
    expect(stderr).toMatch(/cpu: out of memory: cannot allocate \d+ bytes/)
    expect(stderr).toContain('hint: ')
    expect(memory()).toMatchObject({ buffers: before.buffers, liveBytes: before.liveBytes })
  })

  /** A file system of its own with `kilobytes` of room. */
  function smallDisk(kilobytes: number): string | undefined {
    const path = join(temporaryFolder(), 'disk')
    mkdirSync(path)
    const size = `size=${kilobytes}k`
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', size, 'tmpfs', path]).status !== 0) return undefined
    onTestFinished(() => void spawnSync('umount', ['-l', path]))
    return path
  }

  it('on the disk for a first checkpoint: no folder is left', async ({ skip }) => {
    const disk = smallDisk(300)
    if (!disk) return skip('no tmpfs can be mounted here')
    const data = writeBars(temporaryFolder())
    const stderr = await refused(disk, `train --data ${data} --out ${disk}/a/b ${tinyRun}`.split(' '))
    expect(stderr).toMatch(/cannot write .*no space left on the device \(ENOSPC\)\n {2}hint: free some space/)
  })

  it('on the disk for a later one: the run can be resumed, to the same bits', async ({ skip }) => {
    const disk = smallDisk(2600)
    if (!disk) return skip('no tmpfs can be mounted here')
    const { folder, data, run } = await finishedRun()
    const out = join(disk, 'run')
    const ballast = join(disk, 'ballast')
    // Room for the first two checkpoints of 0.9 MB, not for the third beside them.
    writeFileSync(ballast, Buffer.alloc(300_000))
    const failed = await langevin(`train --data ${data} --out ${out} ${tinyRun}`)
    expect(failed.code).toBe(2)
    expect(failed.stderr).toContain('no space left on the device (ENOSPC)')
    expect(existsSync(join(out, 'checkpoint.safetensors'))).toBe(true)
    const elsewhere = join(folder, 'moved')
    spawnSync('cp', ['-r', out, elsewhere])
    const resumed = await langevin(['train', '--resume', '--out', elsewhere])
    expect(resumed.code, resumed.stderr).toBe(0)
    expect(readFileSync(join(elsewhere, 'metrics.jsonl'), 'utf8')).toBe(
      readFileSync(join(run, 'metrics.jsonl'), 'utf8'),
    )
  })
})
