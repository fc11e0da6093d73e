// .teamcity/settings.kts: gate, deploy, reconcile. What it needs beside this file: ../../README.md
//
// The same by hand: a build configuration with these three command line steps, each "only if all previous steps were successful", the
// parameters below, and artifacts published "always". The password is a parameter of the type "password"; the signing key lies on the
// agents that deploy.
import jetbrains.buildServer.configs.kotlin.BuildType
import jetbrains.buildServer.configs.kotlin.DslContext
import jetbrains.buildServer.configs.kotlin.PublishMode
import jetbrains.buildServer.configs.kotlin.buildSteps.script
import jetbrains.buildServer.configs.kotlin.project
import jetbrains.buildServer.configs.kotlin.version

version = "2024.12"

project {
    buildType(Production)
}

object Production : BuildType({
    name = "Deploy to production"
    type = BuildType.Type.DEPLOYMENT
    maxRunningBuilds = 1
    artifactRules = "holdpoint-manifest.* => holdpoint"
    publishArtifacts = PublishMode.ALWAYS // also of a refusal

    vcs {
        root(DslContext.settingsRoot)
        cleanCheckout = true // so that no record of an earlier build is taken for this one's
    }

    params {
        param("env.HOLDPOINT_STORE", "s3://acme-backups/holdpoint")
        param("env.HOLDPOINT_ALLOWED_SIGNERS", "/etc/holdpoint/allowed_signers")
        param("env.HOLDPOINT_SIGNING_KEY", "/etc/holdpoint/signing_key")
        password("env.HOLDPOINT_PASSWORD", "credentialsJSON:00000000-0000-0000-0000-000000000000")
    }

    steps {
        script {
            name = "No restorable snapshot, no deploy"
            scriptContent = "exec holdpoint gate --environment production --timeout 15m --html-out holdpoint-manifest.html"
        }
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
