import { leaveScope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { Gradient } from './lazyGradient.ts'

/** Where a gradient goes: to an output of an earlier op, or to a leaf tensor. */
export type Edge = { node: Node; index: number } | { leaf: Tensor } | undefined

/** ∂loss/∂inputs from ∂loss/∂outputs; an entry is undefined where that input needs none. `saved` are the tensors that
 *  were given to be saved, in order. */
export type Rule<S extends readonly (Tensor | undefined)[], G extends Gradient = Tensor> = (
  gradients: (G | undefined)[],
  saved: S,
  needs: boolean[],
) => (Gradient | undefined)[]

type AnyRule = Rule<readonly (Tensor | undefined)[], Gradient>

/** An op that was applied: whom its gradients go to, how they are computed, and what that needs. It lives as long as a
 *  tensor or a later node holds it, and its saved tensors until backward() has used them. */
export class Node {
  readonly name: string
  readonly edges: readonly Edge[]
  readonly outputs: number
  /** Whether the rule takes the first output's gradient lazily: it ends in a LeakyReLU. */
  readonly fuses: boolean
  private rule: AnyRule | undefined
  private saved: readonly (Tensor | undefined)[]
  private refs = 0

  constructor(
    name: string,
    edges: readonly Edge[],
    outputs: number,
    rule: AnyRule,
    saved: readonly (Tensor | undefined)[],
    fuses: boolean,
  ) {
    this.name = name
    this.edges = edges
    this.outputs = outputs
    this.rule = rule
    this.saved = saved
    this.fuses = fuses
    for (const edge of edges) if (edge && 'node' in edge) edge.node.retain()
  }

  retain(): void {
    this.refs++
  }

  /** Frees the node with its last holder, and then the nodes that only it held. */
  release(): void {
    const released: Node[] = [this]
    for (let node = released.pop(); node; node = released.pop()) {
      if (--node.refs > 0) continue
      node.free()
      for (const edge of node.edges) if (edge && 'node' in edge) released.push(edge.node)
    }
  }

  get isFreed(): boolean {
    return this.rule === undefined
  }

  gradients(outputs: (Gradient | undefined)[], needs: boolean[]): (Gradient | undefined)[] {
    return this.rule!(outputs, this.saved, needs)
  }

  /** Drops what the backward pass needed. */
  free(): void {
    for (const tensor of this.saved) tensor?.dispose()
    this.saved = []
    this.rule = undefined
  }
}

let recording = true

/** Whether ops record what backward() needs. */
export function isRecording(): boolean {
  return recording
}

/** Runs `fn` without recording: what it computes has no history and saves nothing. `fn` must be synchronous. */
export function noGrad<R>(fn: () => R): R {
  return withRecording(false, fn)
}

/** Runs `fn` with recording on, even inside noGrad: for gradients that are part of an evaluation. */
export function enableGrad<R>(fn: () => R): R {
  return withRecording(true, fn)
}

function withRecording<R>(on: boolean, fn: () => R): R {
  const before = recording
  recording = on
  try {
    return fn()
  } finally {
    recording = before
  }
}

/** Whether a gradient for this tensor will be asked for; ops save only what such gradients need. */
export function wantsGrad(tensor: Tensor | undefined): boolean {
  return recording && (tensor?.requiresGrad ?? false)
}

function edgeOf(tensor: Tensor | undefined): Edge {
  if (!tensor?.requiresGrad) return undefined
  return tensor.node ? { node: tensor.node, index: tensor.outputIndex } : { leaf: tensor }
}

/** Gives several outputs of one op their history. `save` lists what `rule` needs; absent entries stay undefined. */
export function recordOutputs<const S extends readonly (Tensor | undefined)[]>(
  name: string,
  outputs: readonly Tensor[],
  inputs: readonly (Tensor | undefined)[],
  save: S,
  rule: Rule<S>,
): void {
  recordNode(name, outputs, inputs, save, rule as unknown as AnyRule, false)
}

/** As `recordOutputs`, for an op that ends in a LeakyReLU: the first output's gradient may come lazily, to be computed
 *  together with that derivative. */
export function recordActivation<const S extends readonly (Tensor | undefined)[]>(
  name: string,
  outputs: readonly Tensor[],
  inputs: readonly (Tensor | undefined)[],
  save: S,
  rule: (dy: Gradient | undefined, others: (Tensor | undefined)[], saved: S, needs: boolean[]) => ReturnType<AnyRule>,
): void {
  const whole: Rule<S, Gradient> = ([dy, ...others], saved, needs) =>
    rule(dy, others as (Tensor | undefined)[], saved, needs)
  recordNode(name, outputs, inputs, save, whole as unknown as AnyRule, true)
}

function recordNode(
  name: string,
  outputs: readonly Tensor[],
  inputs: readonly (Tensor | undefined)[],
  save: readonly (Tensor | undefined)[],
  rule: AnyRule,
  fuses: boolean,
): void {
  if (!inputs.some(wantsGrad)) return
  const saved = save.map((tensor) => {
    const alias = tensor?.detach()
    if (alias) leaveScope(alias)
    return alias
  })
  const node = new Node(name, inputs.map(edgeOf), outputs.length, rule, saved, fuses)
  outputs.forEach((output, index) => {
    output.node = node
    output.outputIndex = index
    node.retain()
  })
}

/** Gives the output of an op its history, and returns it. `rule(dy, saved, needs)` computes the inputs' gradients. */
export function record<const S extends readonly (Tensor | undefined)[]>(
  name: string,
  output: Tensor,
  inputs: readonly (Tensor | undefined)[],
  save: S,
  rule: (dy: Tensor, saved: S, needs: boolean[]) => (Gradient | undefined)[],
): Tensor {
  recordOutputs(name, [output], inputs, save, (gradients, saved, needs) => rule(gradients[0]!, saved, needs))
  return output
}
