import type { Norm } from './ball.ts'

/** Attacks that a sweep over ε can be asked for by name, and its budgets where none are given; a file of its own, so that
 *  a command line knows them without loading the engine. */
export const attackNames = ['pgd', 'apgd-ce', 'apgd-dlr'] as const
export type AttackName = (typeof attackNames)[number]

/** In 1/255 of [0, 1]. */
export const defaultEpsilons: Readonly<Record<Norm, readonly number[]>> = {
  linf: [1, 2, 4, 8, 16, 32],
  l2: [32, 64, 128, 256, 512],
}
