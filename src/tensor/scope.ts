import type { Tensor } from './tensor.ts'

const scopes: Set<Tensor>[] = []

/** @internal */
export function enterScope(tensor: Tensor): void {
  scopes.at(-1)?.add(tensor)
}

/** @internal */
export function leaveScope(tensor: Tensor): void {
  for (let i = scopes.length - 1; i >= 0; i--) if (scopes[i].delete(tensor)) return
}

/**
 * Runs `fn` and disposes every tensor made inside, except those in its result (a tensor, or arrays and plain objects
 * of them), which pass to the enclosing scope. What a returned tensor's graph needs stays until backward() or its
 * dispose. `fn` must be synchronous: ops return at once, so only reads wait, and those can follow the scope.
 * Throws TypeError where `fn` returns a promise.
 */
export function scope<R>(fn: () => R): R {
  const created = new Set<Tensor>()
  scopes.push(created)
  let kept: Set<Tensor> | undefined
  try {
    const value = fn()
    if (value instanceof Promise) {
      value.catch(() => {})
      throw new TypeError('scope: the function must be synchronous; read results after the scope has returned them')
    }
    kept = tensorsIn(value)
    return value
  } finally {
    scopes.splice(scopes.lastIndexOf(created), 1)
    for (const tensor of created) {
      if (kept?.has(tensor)) enterScope(tensor)
      else tensor.dispose()
    }
  }
}

/** Takes a tensor out of every scope: it lives until dispose(). */
export function keep<T extends Tensor>(tensor: T): T {
  leaveScope(tensor)
  return tensor
}

function tensorsIn(value: unknown, found = new Set<Tensor>()): Set<Tensor> {
  if (value === null || typeof value !== 'object') return found
  if (isTensor(value)) {
    found.add(value)
  } else if (Array.isArray(value)) {
    for (const element of value) tensorsIn(element, found)
  } else if (value instanceof Map) {
    for (const element of value.values()) tensorsIn(element, found)
  } else if (Object.getPrototypeOf(value) === Object.prototype) {
    for (const element of Object.values(value)) tensorsIn(element, found)
  }
  return found
}

function isTensor(value: object): value is Tensor {
  return 'storage' in value && 'outputIndex' in value
}
