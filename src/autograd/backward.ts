import { GraphError, ShapeError } from '../errors.ts'
import { accumulate } from '../ops/accumulate.ts'
import { add } from '../ops/arithmetic.ts'
import { expectAlike, expectShape } from '../ops/check.ts'
import { full } from '../tensor/create.ts'
import { keep, scope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { type Edge, type Node, noGrad } from './graph.ts'
import { computed, type Gradient, isLazy, type LazyGradient } from './lazyGradient.ts'

/**
 * Adds ∂loss/∂leaf to the `grad` of every leaf that requires one, and frees the graph. `loss` must have one element.
 * Throws ShapeError, or GraphError where an earlier backward() or grad() has freed the graph.
 */
export function backward(loss: Tensor): void {
  for (const [leaf, gradient] of run(loss, undefined)) {
    if (leaf.grad) {
      accumulate(leaf.grad, gradient)
      gradient.dispose()
    } else {
      leaf.grad = keep(gradient)
    }
  }
}

/**
 * ∂loss/∂x for each x of `wanted` (zeros where loss does not depend on it), and frees the graph. Nothing that leads to
 * none of them is computed, and no `grad` is touched. `loss` must have one element; give `seed` to start from another
 * ∂/∂loss. Throws ShapeError, GraphError.
 */
export function grad(loss: Tensor, wanted: readonly Tensor[], seed?: Tensor): Tensor[] {
  const gradients = run(loss, new Set(wanted), seed)
  return wanted.map((x) => gradients.get(x) ?? full(x.shape, 0, { dtype: x.dtype, device: x.device }))
}

/** Gradients of the wanted leaves; of all leaves where `wanted` is undefined. */
function run(loss: Tensor, wanted: Set<Tensor> | undefined, seed?: Tensor): Map<Tensor, Tensor> {
  if (!seed && loss.size !== 1) {
    throw new ShapeError(
      `backward: the loss must have one element, got [${loss.shape.join(', ')}]; take its sum or mean`,
    )
  }
  if (seed) {
    expectShape('grad', 'seed', seed, loss.shape, "the loss's shape")
    expectAlike('grad', { loss, seed })
  }
  if (wanted) {
    for (const x of wanted) {
      if (x.node) throw new ShapeError('grad: gradients are taken to leaves; detach() the tensor and set requiresGrad')
    }
  }
  const found = new Map<Tensor, Tensor>()
  const start = () => (seed ? seed.detach() : full(loss.shape, 1, { dtype: loss.dtype, device: loss.device }))
  if (!loss.node) {
    if (wanted ? !wanted.has(loss) : !loss.requiresGrad) {
      throw new ShapeError('backward: the loss was computed from no tensor that requires a gradient, or under noGrad()')
    }
    found.set(loss, start())
    return found
  }

  const order = topologicalOrder(loss.node)
  const needed = new Set<Node>()
  const isNeeded = (edge: Edge): boolean =>
    edge !== undefined &&
    ('node' in edge ? needed.has(edge.node) : !edge.leaf.isDisposed && (wanted?.has(edge.leaf) ?? true))
  for (const node of order) if (node.edges.some(isNeeded)) needed.add(node)
  const freed = order.find((node) => node.isFreed && needed.has(node))
  if (freed) throw new GraphError(`${freed.name}: the graph was freed by an earlier backward() or grad()`)

  const pending = new Map<Node, (Gradient | undefined)[]>()
  const deliver = (edge: Edge, gradient: Gradient): void => {
    if (!edge) return
    if ('leaf' in edge) {
      found.set(edge.leaf, computed(merge(found.get(edge.leaf), gradient)))
    } else {
      let slots = pending.get(edge.node)
      if (!slots) pending.set(edge.node, (slots = new Array(edge.node.outputs).fill(undefined)))
      const sum = merge(slots[edge.index], gradient)
      slots[edge.index] = edge.node.fuses && edge.index === 0 ? sum : computed(sum)
    }
  }

  let arriving: (Gradient | undefined)[] = []
  try {
    noGrad(() => {
      if (needed.has(loss.node!)) deliver({ node: loss.node!, index: loss.outputIndex }, start())
      for (const node of order.reverse()) {
        const outputs = pending.get(node)
        if (outputs) {
          const needs = node.edges.map(isNeeded)
          // A rule may hand one tensor to two inputs, or its own dy on: each edge gets a reference of its own.
          arriving = scope(() =>
            node.gradients(outputs, needs).map((g, i) => (g && needs[i] ? (isLazy(g) ? g : g.detach()) : undefined)),
          )
          pending.delete(node)
          for (const output of outputs) output?.dispose()
          node.edges.forEach((edge, i) => {
            const gradient = arriving[i]
            if (gradient) deliver(edge, gradient)
          })
        }
        node.free()
      }
    })
  } catch (error) {
    // Out of memory, most likely: what was computed so far helps nobody.
    for (const gradient of arriving) gradient?.dispose()
    for (const outputs of pending.values()) for (const output of outputs) output?.dispose()
    for (const gradient of found.values()) gradient.dispose()
    throw error
  }
  return found
}

/** The sum of two gradients; takes over both. Adds in place where nothing else holds the memory, and while computing
 *  where one is lazy. */
function merge(sum: Gradient | undefined, gradient: Gradient): Gradient {
  if (!sum) return gradient
  if (isLazy(gradient) || isLazy(sum)) {
    const [lazy, other] = isLazy(gradient) ? [gradient, computed(sum)] : [sum as LazyGradient, gradient]
    try {
      return lazy.take(undefined, other)
    } finally {
      other.dispose()
    }
  }
  const [target, other] = sum.storage.refs === 1 ? [sum, gradient] : [gradient, sum]
  if (target.storage.refs === 1) {
    accumulate(target, other)
    other.dispose()
    return target
  }
  const total = add(sum, gradient)
  sum.dispose()
  gradient.dispose()
  return total
}

/** Every node before those that depend on it. */
function topologicalOrder(root: Node): Node[] {
  const order: Node[] = []
  const seen = new Set<Node>([root])
  const stack: { node: Node; next: number }[] = [{ node: root, next: 0 }]
  for (let top = stack.at(-1); top; top = stack.at(-1)) {
    const edge = top.node.edges[top.next++]
    if (top.next > top.node.edges.length) {
      order.push(top.node)
      stack.pop()
    } else if (edge && 'node' in edge && !seen.has(edge.node)) {
      seen.add(edge.node)
      stack.push({ node: edge.node, next: 0 })
    }
  }
  return order
}
