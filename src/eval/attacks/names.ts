/** Attacks that a sweep over ε can be asked for by name; a file of its own, so that a command line knows them without
 *  loading the engine. */
export const attackNames = ['pgd', 'apgd-ce', 'apgd-dlr'] as const
export type AttackName = (typeof attackNames)[number]
