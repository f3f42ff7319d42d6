// The methods that start a template from an image, in front of a provider that has images.
import { Sandbox, Template } from '@e2b/code-interpreter'
import { rows, traced, works } from './book.mjs'

const kind = traced('Template.static', Template)
const tag = process.env.PICTURED_TAG
const wanted = {
  ...Object.fromEntries(
    ['Alpine', 'Arch', 'Bun', 'Debian', 'Fedora', 'Node', 'Python', 'Ubuntu'].map((name) => [
      `from${name}Image`,
      [tag, name.toLowerCase()],
    ])
  ),
  fromImage: [`debian:${tag}`, 'debian'],
}

const builds = {}
for (const [name, [argument]] of Object.entries(wanted)) {
  const made = traced('Template', Template())[name](argument).runCmd('echo pictured $PICTURED')
  builds[name] = await kind.buildInBackground(made, `js-${name.toLowerCase()}`)
}
for (const [name, build] of Object.entries(builds)) {
  let told
  do {
    if (told) await new Promise((resolve) => setTimeout(resolve, 100))
    told = await kind.getBuildStatus(build)
  } while (!['ready', 'error'].includes(told.status))
  const said = told.logEntries.map((one) => one.message.trim())
  works(`Template.${name}`, told.status === 'ready' && said.includes(`pictured ${wanted[name][1]}`))
  if (!(await Sandbox.deleteSnapshot(build.name))) throw new Error(`${build.name} is not there`)
}
console.log(JSON.stringify(rows))
process.exit(0)
