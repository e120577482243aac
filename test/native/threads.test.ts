import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { addonPath, nativeDevice } from '../../src/native/device.ts'
import { devices } from '../ops/drive.ts'

const run = promisify(execFile)

/** Runs JavaScript in a process of its own, where ADDON is the path of the CPU addon unless `env` says otherwise; a
 *  crash rejects. */
async function cpuInProcess(script: string, env: Record<string, string> = {}): Promise<string> {
  const { stdout } = await run(process.execPath, ['-e', script], {
    env: { ...process.env, NODE_OPTIONS: '', ADDON: addonPath('cpu')!, ...env },
    timeout: 60_000,
  })
  return stdout.trim()
}

describe.each(devices)('the %s addon in several worker threads', (device) => {
  const inProcess = (script: string) => cpuInProcess(script, { ADDON: addonPath(device)! })
  const size = device === 'cpu' ? 512 : 32 // the emulated GPU is slow
  const worker = `
    const { parentPort, workerData } = require('node:worker_threads')
    const addon = require(process.env.ADDON)
    const n = ${size / 2}
    const [a, b, c] = [0, 1, 2].map(() => addon.alloc(n * n, 'f32'))
    addon.ops.randomNormal(a, n * n, 0, 1, workerData, 0, 0, 0)
    addon.ops.randomNormal(b, n * n, 0, 1, workerData, 1, 0, 0)
    const product = () => addon.ops.matmul(a, b, 0, c, n, n, n, 0, 0)
    const sum = () => { const h = new Float32Array(n * n); addon.readSync(c, h); return h.reduce((s, v) => s + v, 0) }
  `

  test('eight compute at once, each with its own memory, and the process ends', async () => {
    const out = await inProcess(`
      const { Worker } = require('node:worker_threads')
      const code = ${JSON.stringify(`${worker}
        for (let i = 0; i < 50; i++) product()
        parentPort.postMessage([sum(), addon.memory().buffers])`)}
      const start = (seed) => new Promise((resolve, reject) => {
        const w = new Worker(code, { eval: true, workerData: seed })
        w.on('message', resolve).on('error', reject)
      })
      Promise.all([0, 1, 2, 3, 0, 1, 2, 3].map(start)).then((r) => console.log(JSON.stringify(r)))`)
    const results = JSON.parse(out) as [number, number][]
    expect(results.map(([, buffers]) => buffers)).toEqual(new Array(8).fill(3))
    expect(results.slice(0, 4)).toEqual(results.slice(4))
    expect(new Set(results.map(([s]) => s)).size).toBe(4)
  })

  test('workers terminated in the middle of ops, reads and full queues leave a process that works and ends', async () => {
    const out = await inProcess(`
      const { Worker } = require('node:worker_threads')
      const code = ${JSON.stringify(`${worker}
        parentPort.postMessage('go')
        const h = new Float32Array(n * n)
        const spin = () => { for (let i = 0; i < 200; i++) { product(); addon.read(c, h) } setImmediate(spin) }
        spin()`)}
      const one = (ms) => new Promise((resolve) => {
        const w = new Worker(code, { eval: true, workerData: 1 })
        w.once('message', () => setTimeout(() => w.terminate().then(resolve), ms))
      })
      Promise.all([0, 1, 3, 7, 15, 30, 60, 90].map(one)).then(() => {
        const addon = require(process.env.ADDON)
        const h = addon.alloc(4, 'f64'), v = new Float64Array(4)
        addon.ops.fill(h, 4, 2.5)
        addon.readSync(h, v)
        console.log(v.join())
      })`)
    expect(out).toBe('2.5,2.5,2.5,2.5')
  })

  test('a process ends while ops and reads are under way', async () => {
    const busy = `
      const addon = require(process.env.ADDON)
      const n = ${size}
      const [a, c] = [0, 1].map(() => addon.alloc(n * n, 'f32'))
      for (let i = 0; i < 300; i++) { addon.ops.matmul(a, a, 0, c, n, n, n, 0, 0) }
      addon.read(c, new Float32Array(n * n)).catch(() => {})
      process.stdout.write('left')`
    expect(await inProcess(`${busy}; process.exit(0)`)).toBe('left')
  })

  test('a pending read keeps the process alive until it is settled', async () => {
    const out = await inProcess(`
      const addon = require(process.env.ADDON)
      const n = ${size}
      const [a, c] = [0, 1].map(() => addon.alloc(n * n, 'f32'))
      for (let i = 0; i < 50; i++) addon.ops.matmul(a, a, 0, c, n, n, n, 0, 0)
      addon.read(c, new Float32Array(n * n)).then(() => process.stdout.write('settled'))`)
    expect(out).toBe('settled')
  })

  test('loading it twice in one thread gives one device', async () => {
    const out = await inProcess(`
      const first = require(process.env.ADDON)
      delete require.cache[require.resolve(process.env.ADDON)]
      const second = require(process.env.ADDON)
      const h = second.alloc(2, 'i32'), v = new Int32Array(2)
      second.ops.fill(h, 2, 7)
      second.readSync(h, v)
      console.log(first.backend, v.join())`)
    expect(out).toBe(`${device} 7,7`)
  })
})

describe('the instruction set', () => {
  const report = 'console.log(require(process.env.ADDON).variant())'
  const { addon } = nativeDevice('cpu')

  test.each(addon.variants().split(','))('LANGEVIN_ISA=%s is used', async (variant) => {
    expect(await cpuInProcess(report, { LANGEVIN_ISA: variant })).toBe(variant)
  })

  test('without it the best is used', async () => {
    expect(await cpuInProcess(report, { LANGEVIN_ISA: '' })).toBe(addon.variants().split(',').at(-1))
  })

  test('a name that this machine has not is an error that lists those it has', async () => {
    const script = `try { require(process.env.ADDON) } catch (e) { console.log(e.code, e.message) }`
    expect(await cpuInProcess(script, { LANGEVIN_ISA: 'avx1024' })).toBe(
      `DEVICE LANGEVIN_ISA=avx1024 is not one that this machine has: ${addon.variants()}`,
    )
  })
})

test('the number of threads can change at any time', () => {
  const { addon } = nativeDevice('cpu')
  try {
    for (const threads of [1, 5, 2, 17, 1, 3]) {
      addon.setThreads(threads)
      expect(addon.threads()).toBe(threads)
      const handle = addon.alloc(100_000, 'f32')
      addon.ops.fill(handle, 100_000, threads)
      const host = new Float32Array(100_000)
      addon.readSync(handle, host)
      addon.free(handle)
      expect(host.every((v) => v === threads)).toBe(true)
    }
    expect(() => addon.setThreads(Number.NaN)).not.toThrow()
    addon.setThreads(-3)
    expect(addon.threads()).toBeGreaterThan(0)
  } finally {
    addon.setThreads(0)
  }
})
