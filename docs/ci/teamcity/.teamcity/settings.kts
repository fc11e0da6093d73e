// .teamcity/settings.kts: gate, deploy, reconcile. What it needs beside this file: ../../README.md
//
// The same by hand: two build configurations with these command line steps, each "only if all previous steps were successful", the second
// with a snapshot and an artifact dependency on the first. The password is a parameter of the type "password". The signing key lies on
// agents of the gate, which have `holdpoint.gate=yes` in their buildAgent.properties; nothing is deployed from these.
import jetbrains.buildServer.configs.kotlin.BuildType
import jetbrains.buildServer.configs.kotlin.BuildTypeSettings
import jetbrains.buildServer.configs.kotlin.DslContext
import jetbrains.buildServer.configs.kotlin.FailureAction
import jetbrains.buildServer.configs.kotlin.PublishMode
import jetbrains.buildServer.configs.kotlin.ReuseBuilds
import jetbrains.buildServer.configs.kotlin.buildSteps.script
import jetbrains.buildServer.configs.kotlin.project
import jetbrains.buildServer.configs.kotlin.version

version = "2024.12"

project {
    buildType(Gate)
    buildType(Production)

    params {
        param("env.HOLDPOINT_STORE", "s3://acme-backups/holdpoint")
        password("env.HOLDPOINT_PASSWORD", "credentialsJSON:00000000-0000-0000-0000-000000000000")
    }
}

object Gate : BuildType({
    name = "No restorable snapshot, no deploy"
    maxRunningBuilds = 1
    artifactRules = "holdpoint-manifest.* => holdpoint"
    publishArtifacts = PublishMode.ALWAYS // also of a refusal

    vcs {
        root(DslContext.settingsRoot)
        cleanCheckout = true // so that no record of an earlier build is taken for this one's
    }

    params {
        param("env.HOLDPOINT_SIGNING_KEY", "/etc/holdpoint/signing_key")
    }

    requirements {
        equals("holdpoint.gate", "yes")
    }

    steps {
        script {
            name = "Gate"
            scriptContent = "exec holdpoint gate --environment production --timeout 15m --html-out holdpoint-manifest.html"
        }
    }

    failureConditions {
        executionTimeoutMin = 20 // beyond holdpoint's own, so that it ends itself first
    }
})

object Production : BuildType({
    name = "Deploy to production"
    type = BuildTypeSettings.Type.DEPLOYMENT
    maxRunningBuilds = 1

    vcs {
        root(DslContext.settingsRoot)
        cleanCheckout = true
    }

    params {
        param("env.HOLDPOINT_ALLOWED_SIGNERS", "/etc/holdpoint/allowed_signers")
    }

    requirements {
        doesNotExist("holdpoint.gate")
    }

    dependencies {
        dependency(Gate) {
            snapshot {
                reuseBuilds = ReuseBuilds.NO // every deployment asks anew
                onDependencyFailure = FailureAction.FAIL_TO_START
                onDependencyCancel = FailureAction.CANCEL
            }
            artifacts {
                artifactRules = "holdpoint/holdpoint-manifest.json => ."
            }
        }
    }

    steps {
        script {
            name = "Deploy"
            scriptContent = """
                set -e
                holdpoint admit --environment production
                exec ./deploy.sh production
            """.trimIndent()
        }
        script {
            name = "Is it what runs?"
            scriptContent = "exec holdpoint reconcile --environment production --manifest holdpoint-manifest.json --wait 5m"
        }
    }

    failureConditions {
        executionTimeoutMin = 60 // beyond holdpoint's own, so that it ends itself first
    }
})
