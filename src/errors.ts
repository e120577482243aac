/** Every error that langevin throws on purpose has a stable `code` and a message that says what was expected, what
 *  came, and what to do. Programs test `error.code`; people read `error.message` (and `error.hint`, one line). */
export class LangevinError extends Error {
  readonly code: string
  readonly hint?: string
  constructor(code: string, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = new.target.name
    this.code = code
    this.hint = options.hint
  }
}

type Options = { hint?: string; cause?: unknown }

/** A tensor has the wrong rank or extents. The message names the op, the argument and both shapes. */
export class ShapeError extends LangevinError {
  constructor(message: string, options?: Options) {
    super('SHAPE', message, options)
  }
}

/** A tensor has a dtype that the op does not take. */
export class DTypeError extends LangevinError {
  constructor(message: string, options?: Options) {
    super('DTYPE', message, options)
  }
}

/** A device is missing, was not built, or failed; or tensors of two devices met in one op. */
export class DeviceError extends LangevinError {
  constructor(message: string, options?: Options) {
    super('DEVICE', message, options)
  }
}

/** A device buffer could not be allocated. The engine stays usable. */
export class OutOfMemoryError extends LangevinError {
  constructor(message: string, options?: Options) {
    super('OUT_OF_MEMORY', message, options)
  }
}

/** A gradient was asked of a graph that an earlier backward() or grad() has freed. */
export class GraphError extends LangevinError {
  constructor(message: string, options?: Options) {
    super('GRAPH', message, options)
  }
}

/** Data is missing, truncated, corrupt or out of range. */
export class DataError extends LangevinError {
  constructor(message: string, options?: Options) {
    super('DATA', message, options)
  }
}

/** A checkpoint is missing, corrupt, or does not fit the model or the configuration. */
export class CheckpointError extends LangevinError {
  constructor(message: string, options?: Options) {
    super('CHECKPOINT', message, options)
  }
}

/** A setting is unknown or out of its range. */
export class ConfigError extends LangevinError {
  constructor(message: string, options?: Options) {
    super('CONFIG', message, options)
  }
}

/** Training diverged and could not be brought back. */
export class DivergenceError extends LangevinError {
  constructor(message: string, options?: Options) {
    super('DIVERGENCE', message, options)
  }
}

/** The candidate nearest to `name` by edit distance, when near enough to be a likely typing slip. */
export function nearestName(name: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined
  let bestDistance = Math.max(2, Math.floor(name.length / 3)) + 1
  for (const candidate of candidates) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase())
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1))
    }
    row = next
  }
  return row[b.length]
}
