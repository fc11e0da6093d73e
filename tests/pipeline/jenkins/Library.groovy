import java.lang.annotation.ElementType
import java.lang.annotation.Retention
import java.lang.annotation.RetentionPolicy
import java.lang.annotation.Target

/** What a Jenkinsfile names its shared library with. */
@Retention(RetentionPolicy.SOURCE)
@Target([ElementType.LOCAL_VARIABLE, ElementType.TYPE, ElementType.PACKAGE])
@interface Library {
    String value()
}
