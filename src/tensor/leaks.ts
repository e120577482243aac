import type { Tensor } from './tensor.ts'

let debug = false
let pending: (string | undefined)[] = []
const sites = new WeakMap<Tensor, string>()
const live = new Set<WeakRef<Tensor>>()
const references = new WeakMap<Tensor, WeakRef<Tensor>>()

// The collector never frees device memory here; it only tells which tensors nobody disposed.
const registry = new FinalizationRegistry<{ site: string | undefined }>(({ site }) => {
  if (pending.length === 0) setImmediate(report)
  pending.push(site)
})

function report(): void {
  const lost = pending
  pending = []
  const where = [...new Set(lost.filter((site) => site !== undefined))]
  process.emitWarning(
    `${lost.length} tensor${lost.length === 1 ? ' was' : 's were'} garbage-collected without dispose(); ` +
      (where.length > 0 ? `created at\n${where.join('\n')}` : 'setLeakDebug(true) tells where they were created'),
    { type: 'LeakWarning', code: 'LANGEVIN_LEAK' },
  )
}

/** Whether each tensor remembers where it was created, for leak reports and `liveTensors`. Slow: for debugging. */
export function setLeakDebug(on: boolean): void {
  debug = on
}

/** @internal */
export function trackTensor(tensor: Tensor): void {
  let site: string | undefined
  if (debug) {
    site = creationSite()
    sites.set(tensor, site)
    const reference = new WeakRef(tensor)
    references.set(tensor, reference)
    live.add(reference)
  }
  registry.register(tensor, { site }, tensor)
}

/** @internal */
export function forgetTensor(tensor: Tensor): void {
  registry.unregister(tensor)
  const reference = references.get(tensor)
  if (reference) live.delete(reference)
}

/** The tensors made since `setLeakDebug(true)` that are not disposed, each with the place it was created. */
export function liveTensors(): { shape: readonly number[]; dtype: string; site: string }[] {
  const found = []
  for (const reference of live) {
    const tensor = reference.deref()
    if (tensor) found.push({ shape: tensor.shape, dtype: tensor.dtype, site: sites.get(tensor) ?? '' })
  }
  return found
}

const engine = ['tensor', 'ops', 'autograd'].map((folder) => new URL(`../${folder}/`, import.meta.url).pathname)

/** The frames that called the engine, or all where nothing else did. */
function creationSite(): string {
  const lines = (new Error().stack ?? '').split('\n').slice(1)
  const outside = lines.filter((line) => !engine.some((folder) => line.includes(folder)))
  return (outside.length > 0 ? outside : lines).slice(0, 4).join('\n')
}
