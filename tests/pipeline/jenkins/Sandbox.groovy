import org.codehaus.groovy.ast.AnnotatedNode
import org.codehaus.groovy.ast.ClassCodeVisitorSupport
import org.codehaus.groovy.ast.ClassNode
import org.codehaus.groovy.ast.ASTNode
import org.codehaus.groovy.ast.expr.*
import org.codehaus.groovy.classgen.GeneratorContext
import org.codehaus.groovy.control.CompilePhase
import org.codehaus.groovy.control.SourceUnit
import org.codehaus.groovy.control.customizers.CompilationCustomizer
import org.codehaus.groovy.control.messages.SyntaxErrorMessage
import org.codehaus.groovy.syntax.SyntaxException

/**
 * Refuses to compile what Jenkins' script sandbox would not run without an administrator's approval, and what its continuations cannot
 * carry from one step to the next.
 *
 * It is stricter than Jenkins: every method that is called must be a step, our own, or in the short list below, each of which is in
 * generic-whitelist of the script security plugin.
 */
class Sandbox extends CompilationCustomizer {
    /** `java.lang.String`, `java.util.Collection`, `List` and `Map`, `java.lang.Integer`, `groovy.lang.Closure`. */
    static final List ALLOWED = [
        'contains', 'endsWith', 'indexOf', 'isEmpty', 'length', 'matches', 'replace', 'replaceAll', 'split', 'startsWith', 'substring',
        'toString', 'trim', 'add', 'addAll', 'containsKey', 'get', 'keySet', 'parseInt', 'call',
    ]
    /** Words of a declarative pipeline. */
    static final List WORDS = [
        'pipeline', 'stage', 'string', 'choice', 'booleanParam', 'text', 'expression', 'equals', 'not', 'allOf', 'anyOf', 'beforeAgent',
        'beforeOptions',
    ] + Declarative.PIPELINE + Declarative.STAGE + Declarative.CONDITIONS + (Declarative.OPTIONS.keySet() as List)

    /** The methods and classes of the library itself. */
    final Set own

    Sandbox(Set own) {
        super(CompilePhase.CANONICALIZATION)
        this.own = own
    }

    void call(SourceUnit source, GeneratorContext context, ClassNode type) {
        new Guard(source, own).visitClass(type)
        boolean shared = type.packageName == 'holdpoint'
        boolean carried = type.interfaces*.name.contains('java.io.Serializable')
        if (shared && !carried) {
            Guard.refuse(source, type, 'a class that is not Serializable')
        }
    }
}

class Guard extends ClassCodeVisitorSupport {
    final SourceUnit source
    final Set own

    Guard(SourceUnit source, Set own) {
        this.source = source
        this.own = own
    }

    protected SourceUnit getSourceUnit() { return source }

    static void refuse(SourceUnit source, ASTNode node, String what) {
        if (node.lineNumber < 0) {
            return // the compiler's own, such as `main`
        }
        source.errorCollector.addErrorAndContinue(
            new SyntaxErrorMessage(new SyntaxException("not in a sandbox: $what", node.lineNumber, node.columnNumber), source))
    }

    void refuse(ASTNode node, String what) { refuse(source, node, what) }

    private void check(ASTNode node, String name, Expression arguments) {
        boolean word = Sandbox.WORDS.contains(name) || Steps.known(name)
        if (!word && !own.contains(name) && !Sandbox.ALLOWED.contains(name)) {
            refuse(node, "the method $name")
        }
        List given = arguments instanceof TupleExpression ? arguments.expressions : [arguments]
        if (given.any { it instanceof ClosureExpression } && !word && !own.contains(name)) {
            refuse(node, "a closure for $name, which cannot be carried from step to step")
        }
        if (name == 'sh') {
            new ShellLines(source).visit(given)
        }
    }

    void visitMethodCallExpression(MethodCallExpression call) {
        if (call.methodAsString == null) {
            refuse(call, 'a method that is named at run time')
        } else {
            check(call, call.methodAsString, call.arguments)
        }
        if (call.spreadSafe) {
            refuse(call, 'a call of many at once')
        }
        super.visitMethodCallExpression(call)
    }

    void visitStaticMethodCallExpression(StaticMethodCallExpression call) {
        check(call, call.method, call.arguments)
        super.visitStaticMethodCallExpression(call)
    }

    void visitConstructorCallExpression(ConstructorCallExpression call) {
        if (!call.specialCall && call.type.packageName != 'holdpoint') {
            refuse(call, "a new ${call.type.name}")
        }
        super.visitConstructorCallExpression(call)
    }

    void visitClassExpression(ClassExpression expression) {
        if (expression.type.packageName != 'holdpoint' && expression.type.name != 'java.lang.Integer') {
            refuse(expression, "the class ${expression.type.name}")
        }
        super.visitClassExpression(expression)
    }

    void visitBinaryExpression(BinaryExpression expression) {
        expression.leftExpression.visit(this)
        if (expression.operation.text != 'instanceof') {
            expression.rightExpression.visit(this)
        }
    }

    void visitMethodPointerExpression(MethodPointerExpression expression) { refuse(expression, 'a pointer to a method') }

    void visitAttributeExpression(AttributeExpression expression) { refuse(expression, 'direct access to a field') }

    void visitCastExpression(CastExpression expression) { refuse(expression, 'a cast') }

    void visitAnnotations(AnnotatedNode node) {
        // The second is what the stand-in itself puts on scripts.
        node.annotations.findAll { !(it.classNode.name in ['Library', 'groovy.transform.BaseScript']) }.each { refuse(node, "the annotation ${it.classNode.name}") }
    }
}

/** Nothing may be put into a shell line by Groovy. */
class ShellLines extends ClassCodeVisitorSupport {
    final SourceUnit source

    ShellLines(SourceUnit source) {
        this.source = source
    }

    protected SourceUnit getSourceUnit() { return source }

    void visit(List expressions) { expressions.each { it.visit(this) } }

    void visitGStringExpression(GStringExpression expression) { Guard.refuse(source, expression, 'a value in a shell line') }
}
