// What a GPU, its driver or its memory can lack, and what is said then: on the emulated GPU, which can be told to lack it.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { addonPath, nativeDevice } from '../../src/native/device.ts'
import { emulated } from '../ops/drive.ts'

const source = new URL('../../src/', import.meta.url)

/** Runs a script, which has the library as `langevin`, with an emulated GPU of these properties; what it prints. */
async function onGpu(script: string, properties: Record<string, string> = {}): Promise<string> {
  const environment = Object.entries(properties).map(([name, value]) => [`LANGEVIN_EMULATOR_${name}`, value])
  const told = `const told = (error) => console.log(error.constructor.name + ': ' + error.message + ' | ' + error.hint)`
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--input-type=module', '-e', `import * as langevin from '${built}'\n${told}\n${script}`],
    { env: { ...process.env, NODE_OPTIONS: '', ...Object.fromEntries(environment) }, timeout: 60_000 },
  )
  return stdout.trim()
}
const built = new URL('../dist/index.js', source).href

describe.runIf(emulated('cuda'))('a device that cannot be opened says why and what to do, and the CPU works', () => {
  const script = `
    for (let i = 0; i < 2; i++) {
      try { langevin.zeros([2], { device: 'cuda' }) } catch (error) { told(error) }
    }
    console.log(langevin.ones([2]).dataSync().join())`

  test.each([
    ['no driver', { DRIVER: '0' }, 'no NVIDIA driver is loaded | install the driver, or use --device cpu'],
    [
      'an old driver',
      { DRIVER: '12040' },
      'the NVIDIA driver is too old: it supports CUDA 12.4, this addon needs CUDA 13.0 | update the driver, or build with an older CUDA toolkit: npm run build:cuda',
    ],
    ['no GPU', { DEVICES: '0' }, 'the driver finds no GPU | use --device cpu'],
    [
      'an old GPU',
      { ARCHITECTURE: '75' },
      'the GPU has compute capability 7.5, the kernels need 8.0 (Ampere) or later | use --device cpu',
    ],
  ])('%s', async (_, properties, expected) => {
    const line = `DeviceError: the cuda device cannot be opened: ${expected}`
    expect(await onGpu(script, properties)).toBe([line, line, '1,1'].join('\n'))
  })

  test('a GPU hidden by CUDA_VISIBLE_DEVICES', async () => {
    process.env.CUDA_VISIBLE_DEVICES = '-1'
    try {
      expect(await onGpu(script, { DEVICES: '0' })).toContain(
        'no GPU is visible with CUDA_VISIBLE_DEVICES=-1 | unset CUDA_VISIBLE_DEVICES',
      )
    } finally {
      delete process.env.CUDA_VISIBLE_DEVICES
    }
  })
})

describe.runIf(emulated('cuda'))('a GPU', () => {
  test('without Hopper’s instructions offers the kernels that it can run', async () => {
    const script = `
      langevin.zeros([2], { device: 'cuda' })
      const { addon } = langevin.ones([1], { device: 'cuda' }).storage.device
      console.log(addon.variants(), addon.variant(), addon.setVariant('sm90'), addon.setVariant('simt'), addon.variant())`
    expect(await onGpu(script, { ARCHITECTURE: '86' })).toBe('simt,sm80 sm80 false true simt')
    expect(await onGpu(script, { ARCHITECTURE: '90' })).toBe('simt,sm80,sm90 sm90 true true simt')
    expect(await onGpu(script, { ARCHITECTURE: '120' })).toBe('simt,sm80 sm80 false true simt')
  })

  test('whose memory is used up says how much is in use, and works on; what was only cached is given back first', async () => {
    const out = await onGpu(
      `
      const mebibyte = 2 ** 20
      for (const n of [5, 6, 7, 5.5]) langevin.zeros([n * mebibyte / 4], { device: 'cuda' }).dispose()
      const held = langevin.ones([6 * mebibyte / 4], { device: 'cuda' })
      try { langevin.zeros([12 * mebibyte / 4], { device: 'cuda' }) } catch (error) { told(error) }
      console.log(held.dataSync().every((v) => v === 1), langevin.zeros([100], { device: 'cuda' }).dataSync().length)`,
      { MEMORY: String(16 * 2 ** 20) },
    )
    expect(out).toMatch(
      /^OutOfMemoryError: cuda: out of memory: cannot allocate 12582912 bytes for 3145728 elements of f32; 6\.0 MiB are in use \| use a smaller batch/,
    )
    expect(out).toMatch(/\ntrue 100$/)
  })

  test('gets back what a worker thread held when it ended', async () => {
    const script = `
      const { Worker } = await import('node:worker_threads')
      const code = \`
        import { parentPort } from 'node:worker_threads'
        import('${built}').then((langevin) => {
          const x = langevin.ones([2 ** 20], { device: 'cuda' })
          const y = langevin.zeros([2 ** 20], { device: 'cuda' })
          langevin.capture(() => langevin.assign(y, langevin.add(x, 1)), { device: 'cuda' }).replay()
          parentPort.postMessage(y.dataSync()[7])
        })\`
      for (let i = 0; i < 5; i++) {
        const worker = new Worker(new URL('data:text/javascript,' + encodeURIComponent(code)))
        console.log(await new Promise((done, failed) => worker.on('message', done).on('error', failed)))
        await worker.terminate()
      }`
    expect(await onGpu(script, { MEMORY: String(24 * 2 ** 20) })).toBe('2\n2\n2\n2\n2')
  })

  test('that is lost says so at every call, once the failure was found, and the CPU works', async () => {
    const out = await onGpu(
      `
      const x = langevin.ones([4], { device: 'cuda' })
      for (let i = 0; i < 5; i++) langevin.add(x, x)
      const calls = [
        () => x.dataSync(), () => x.data(), () => langevin.synchronize('cuda'), () => langevin.zeros([2], { device: 'cuda' }),
      ]
      for (const call of calls) {
        try { await call() } catch (error) { told(error) }
      }
      x.dispose()
      console.log(langevin.add(langevin.ones([2]), 1).dataSync().join())`,
      { FAIL_LAUNCH: '3' },
    )
    const lines = out.split('\n')
    expect(lines.length).toBe(5)
    for (const line of lines.slice(0, 4)) {
      expect(line).toMatch(
        /^DeviceError: cuda: the device is lost: (read|add|binary): .*illegal memory access.*cudaErrorIllegalAddress.* \| start the process again/,
      )
    }
    expect(new Set(lines.slice(0, 4)).size).toBe(1)
    expect(lines[4]).toBe('2,2')
  })
})

test.runIf(emulated('cuda'))('the emulated GPU says that it is one', () => {
  expect(addonPath('cuda')).toMatch(/cuda\.node$/)
  expect(nativeDevice('cuda').addon.properties()).toMatchObject({
    name: 'langevin emulator',
    computeCapability: '9.0',
    driver: 'CUDA 13.0',
    compiledFor: 'the emulator',
  })
})
